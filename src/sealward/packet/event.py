"""Events and alarms as the plaintext of a packet, and back.

Both are ``[1, t, code, {details}]`` in deterministic CBOR, a mark and zeros, so that
no code shows in the length. On the critical channel there is neither mark nor zeros.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sealward.packet import cbor
from sealward.packet.octets import CodecError, unpadded
from sealward.packet.octets import padded as with_padding

LEAST = 64  # bytes, padding included
LARGEST = 4 * 1024  # bytes of the packet around it, and more than enough
DAY = 86_400_000  # ms

_CODE = re.compile("[a-z][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, or the condition of an alarm."""

    code: str  # lower case; of an alarm the condition's name
    at_ms: int  # ms since the UTC day began that the packet's epoch names
    details: Mapping[int, object]  # 1: the alarm's evidence, 2: its critical frame


def encode(
    code: str, at_ms: int, details: Mapping[int, object], *, padded: bool = True
) -> bytes:
    """Return the plaintext of an event or alarm.

    *at_ms* is ms of the UTC day, 0 to 86 399 999; *details* are what CBOR holds: None,
    bool, int, float, bytes, text, and lists and maps of these.

    Raises:
        ValueError: *code*, time or a detail is not what an event can have.
        TypeError: a detail is of a type that CBOR does not hold, a Decimal, say.
    """
    if not _CODE.fullmatch(code) or not 0 <= at_ms < DAY:
        raise ValueError("an event has a word in lower case and a time of its day")
    if any(type(key) is not int or key < 0 for key in details):
        raise ValueError("details go by numbers from 0")
    content = cbor.dumps([1, at_ms, code, details])
    plain = with_padding(content, LEAST) if padded else content
    if len(plain) > LARGEST:
        raise ValueError("an event holds 4 KiB at the most")
    return plain


def decode(data: bytes, *, padded: bool = True) -> Event:
    """Return the event or alarm that the plaintext *data* is.

    Raises:
        CodecError: it is not deterministic CBOR of that shape, rightly padded.
    """
    if len(data) > LARGEST:
        raise CodecError("an event is larger than its packet")
    item, end = cbor.item_at(data, 0)
    if padded:
        unpadded(data, end, LEAST)
    elif end != len(data):
        raise CodecError("bytes follow the event")
    match item:
        case [int(version), int(at_ms), str(code), dict(details)]:
            whole = (type(version), type(at_ms), version) == (int, int, 1)
        case _:
            raise CodecError("an event has another shape")
    numbered = all(type(key) is int and key >= 0 for key in details)
    if not (whole and numbered and 0 <= at_ms < DAY and _CODE.fullmatch(code)):
        raise CodecError("an event has another shape")
    return Event(code=code, at_ms=at_ms, details=details)
