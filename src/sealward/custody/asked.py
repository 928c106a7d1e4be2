"""Take what somebody asks of a desk, item by item: each of one type, within a limit.

Python's own conversions are no check: ``bytes(10**9)`` is a gigabyte of zeros, and
``int(inf)`` an error of another kind. Nothing is converted here.
"""

from collections.abc import Mapping
from uuid import UUID

LARGEST = (1 << 63) - 1  # of a number, as PostgreSQL's bigint has it
SHORT = (1 << 15) - 1  # as its smallint
INTEGER = (1 << 31) - 1  # as its integer
TEXT = 256  # characters of a name, a code or an attribute
BLOB = 16 * 1024  # bytes of a key, a signature or a certificate request
ITEMS = 64  # of a list or a table

Args = Mapping[str, object]


def number(args: Args, name: str, most: int = LARGEST) -> int:
    """Return the number *name*, from 0 to *most*.

    Raises:
        KeyError, ValueError: it is not there, or no such number.
    """
    found = args[name]
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= most:
        return found
    raise ValueError(f"{name} is a number from 0 to {most}")


def blob(args: Args, name: str) -> bytes:
    """Return the bytes *name*.

    Raises:
        KeyError, ValueError: it is not there, or is no bytes, or too many.
    """
    return _blob(args[name], name)


def _blob(found: object, name: str) -> bytes:
    if isinstance(found, bytes) and len(found) <= BLOB:
        return found
    raise ValueError(f"{name} is at most {BLOB} bytes")


def text(args: Args, name: str) -> str:
    """Return the text *name*, which has no NUL: PostgreSQL keeps none.

    Raises:
        KeyError, ValueError: it is not there, or is no text, or too long.
    """
    return _text(args[name], name)


def _text(found: object, name: str) -> str:
    if isinstance(found, str) and len(found) <= TEXT and "\0" not in found:
        return found
    raise ValueError(f"{name} is a text of at most {TEXT} characters")


def texts(args: Args, name: str) -> tuple[str, ...]:
    """Return the list of texts *name*.

    Raises:
        KeyError, ValueError: it is not there, is no list, or one is no text.
    """
    found = args[name]
    if isinstance(found, list | tuple) and len(found) <= ITEMS:
        return tuple(_text(each, name) for each in found)
    raise ValueError(f"{name} is a list of at most {ITEMS} texts")


def blobs(args: Args, name: str, most: int) -> dict[int, bytes]:
    """Return the table *name*, from numbers from 0 to *most* to bytes.

    Raises:
        KeyError, ValueError: it is not there, is no table, or of other things.
    """
    found = args[name]
    if not isinstance(found, dict):
        raise ValueError(f"{name} is a table")  # noqa: TRY004 - one error for all
    if not set(found) <= set(range(most + 1)):
        raise ValueError(f"{name} has numbers from 0 to {most}")
    return {int(key): _blob(value, name) for key, value in found.items()}


def uuid(args: Args, name: str) -> UUID:
    """Return the UUID *name*, written as text.

    Raises:
        KeyError, ValueError: it is not there, or is none.
    """
    return UUID(text(args, name))
