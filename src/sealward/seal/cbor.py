"""Read and write deterministic CBOR (RFC 8949 §4.2.1), and nothing looser.

What the product signs and seals are whole numbers, byte and text strings, arrays,
maps, tags, booleans and null. Floats and every other simple value are refused, so
that one content has one encoding and a second encoding is a forgery.
"""

from collections.abc import Mapping

import cbor2

from sealward.errors import RefusalError

DEPTH = (
    18  # arrays, maps and tags within each other: a policy of depth 8, and its record
)
SIZE = 64 * 1024  # bytes; nothing that the broker takes is longer

_UINT, _NINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}  # additional information -> bytes of argument
_LEAST = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}  # smallest value worth them
_NULL = 22
_SIMPLES = {20: False, 21: True, _NULL: None}


class MalformedError(RefusalError):
    """The bytes are not the one encoding that their content has."""

    reason = "malformed"


class TrailingError(MalformedError):
    """Bytes follow the end."""

    reason = "trailing"


def encode(item: object) -> bytes:
    """Return the deterministic encoding of *item*.

    *item* is made of int, bytes, str, list, tuple, mapping, bool, None and
    ``cbor2.CBORTag``. Maps are sorted by their keys' encoded bytes, as RFC 8949 asks;
    cbor2's own canonical mode sorts shorter keys first, as RFC 7049 did.

    Raises:
        TypeError: *item* holds something else.
    """
    return cbor2.dumps(_ordered(item))


def _ordered(item: object) -> object:
    """Return *item* with its maps in order."""
    if item is None or isinstance(item, bool | int | bytes | str):
        return item
    if isinstance(item, list | tuple):
        return [_ordered(each) for each in item]
    if isinstance(item, cbor2.CBORTag):
        return cbor2.CBORTag(item.tag, _ordered(item.value))
    if isinstance(item, Mapping):
        pairs = sorted((encode(key), key, value) for key, value in item.items())
        return {key: _ordered(value) for _, key, value in pairs}
    raise TypeError(f"{type(item).__name__} has no place in a sealed message")


class Reader:
    """A cursor over deterministic CBOR; each method takes what must come next.

    A structure that is read this way is checked where it is read: whatever is not
    there, in that order and in its shortest form, is refused, and ``end`` refuses
    the rest. No method looks at a byte twice or allocates what a length claims.
    """

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        if len(data) > SIZE:
            raise MalformedError("longer than any message can be")
        self._data = data
        self._at = 0

    def _head(self) -> tuple[int, int]:
        """Take one head: its major type and argument."""
        data, at = self._data, self._at
        if at >= len(data):
            raise MalformedError("the message ends too early")
        major, info = data[at] >> 5, data[at] & 31
        self._at = at + 1
        if info < 24:  # noqa: PLR2004 - RFC 8949 §3: the value itself
            return major, info
        width = _WIDTHS.get(info)
        if width is None:
            raise MalformedError("an indefinite or reserved length")
        if at + 1 + width > len(data):
            raise MalformedError("the message ends too early")
        value = int.from_bytes(data[at + 1 : at + 1 + width])
        if value < _LEAST[info] or (major == _SIMPLE):
            raise MalformedError("a number that is not in its shortest form")
        self._at = at + 1 + width
        return major, value

    def _expect(self, major: int, what: str) -> int:
        """Take a head of type *major* and return its argument."""
        found, value = self._head()
        if found != major:
            raise MalformedError(f"{what} was expected")
        return value

    def _take(self, length: int) -> bytes:
        """Take *length* bytes of content."""
        start, self._at = self._at, self._at + length
        if self._at > len(self._data):
            raise MalformedError("the message ends too early")
        return self._data[start : self._at]

    def uint(self, below: int = 1 << 64) -> int:
        """Take a whole number, 0 <= n < *below*."""
        value = self._expect(_UINT, "a whole number")
        if value >= below:
            raise MalformedError("a number out of range")
        return value

    def integer(self, exactly: int) -> None:
        """Take the number *exactly*, which may be negative."""
        major, value = self._head()
        if (major, value) != (_UINT if exactly >= 0 else _NINT, max(exactly, ~exactly)):
            raise MalformedError("another number was expected")

    def blob(self, length: int | None = None, *, most: int = SIZE) -> bytes:
        """Take a byte string, of *length* bytes exactly or of *most* at most."""
        size = self._expect(_BYTES, "a byte string")
        if size > most or (length is not None and size != length):
            raise MalformedError("a byte string of another length was expected")
        return self._take(size)

    def text(self, most: int = SIZE) -> str:
        """Take a text string of at most *most* bytes."""
        size = self._expect(_TEXT, "a text string")
        if size > most:
            raise MalformedError("a text string is too long")
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as error:
            raise MalformedError("a text string is not UTF-8") from error

    def word(self, exactly: str) -> None:
        """Take the text string *exactly*."""
        if self.text() != exactly:
            raise MalformedError("another word was expected")

    def array(self, length: int | None = None, *, most: int = SIZE) -> int:
        """Take an array's head, of *length* items exactly or of *most* at most."""
        size = self._expect(_ARRAY, "an array")
        if size > most or (length is not None and size != length):
            raise MalformedError("an array of another length was expected")
        return size

    def map(self, most: int = SIZE) -> int:
        """Take a map's head; its keys' order is for the caller to check."""
        size = self._expect(_MAP, "a map")
        if size > most:
            raise MalformedError("a map of another size was expected")
        return size

    def tag(self, exactly: int) -> None:
        """Take the head of tag *exactly*."""
        if self._expect(_TAG, "a tag") != exactly:
            raise MalformedError("another tag was expected")

    def nothing(self) -> bool:
        """Take a null if one comes next, and say whether one did."""
        if self._data[self._at : self._at + 1] != b"\xf6":
            return False
        self._at += 1
        return True

    def end(self) -> None:
        """Refuse whatever follows.

        Raises:
            TrailingError: something does.
        """
        if self._at != len(self._data):
            raise TrailingError("bytes follow the end")

    def item(self, depth: int = DEPTH) -> object:
        """Take any one item, of *depth* levels at most, as Python has it."""
        if depth < 0:
            raise MalformedError("nested too deeply")
        start = self._at
        major, value = self._head()
        if major in (_UINT, _NINT):
            return value if major == _UINT else ~value
        if major in (_BYTES, _TEXT):
            self._at = start
            return self.blob() if major == _BYTES else self.text()
        if major == _ARRAY:
            return [self.item(depth - 1) for _ in range(value)]
        if major == _MAP:
            return self._pairs(value, depth - 1)
        if major == _TAG:
            return cbor2.CBORTag(value, self.item(depth - 1))
        if value in _SIMPLES:
            return _SIMPLES[value]
        raise MalformedError("a float or an unknown simple value")

    def _pairs(self, size: int, depth: int) -> dict[object, object]:
        """Take *size* pairs whose keys, numbers or strings, rise by their bytes."""
        pairs: dict[object, object] = {}
        last = b""
        for _ in range(size):
            start = self._at
            if start < len(self._data) and self._data[start] >> 5 > _TEXT:
                raise MalformedError("a key that is neither number nor string")
            key = self.item(depth)
            spelt = self._data[start : self._at]
            if spelt <= last:
                raise MalformedError("a map whose keys are not in order")
            last = spelt
            pairs[key] = self.item(depth)
        return pairs


def decode(data: bytes) -> object:
    """Return the one item that *data* is, to its last byte.

    Arrays come as lists, tags as ``cbor2.CBORTag``.

    Raises:
        MalformedError: *data* is not deterministic CBOR, or too long or too deep.
        TrailingError: bytes follow the item.
    """
    reader = Reader(data)
    item = reader.item()
    reader.end()
    return item
