"""Read, verify and close a sealed packet's outside: all that the server may see.

A packet is a COSE_Sign1 of one fixed layout (RFC 9052 §4.2), read by position::

    d2 84 49 a2012604 44 kid  a0  bstr [kind, seq, slot, epoch, body, alarm?]  5840 r s

The general decoders take bytes after the end and numbers in two forms; a door takes
neither. Signed along with it is the alias, which is the topic's and is not sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

from sealward.errors import RefusalError
from sealward.seal import signing
from sealward.seal.cbor import MalformedError, TrailingError
from sealward.seal.signing import HEADER, SIGN1, STRUCTURE, ForgedError, UnsignedError

SLOTS = 8640  # slots of ten seconds in a UTC day
SEQUENCES = 1 << 32
ALIAS = 26  # characters
ALARM_ID = 16  # bytes
KIB = 1024  # bytes


class OversizeError(RefusalError):
    """The packet is larger than its kind may be."""

    reason = "oversize"


class MisplacedError(RefusalError):
    """The packet is of a kind that has no place where it stands."""

    reason = "misplaced"


class Kind(IntEnum):
    """What a packet carries."""

    VITALS = 0
    WAVE = 1
    ROLLUP = 2
    SEAL = 3
    EVENT = 4
    ALARM = 5
    KEY = 6
    LATE = 7
    BUNDLE = 8


NAMES: Mapping[Kind, str] = {kind: kind.name.lower() for kind in Kind}  # topic levels
KINDS: Mapping[str, Kind] = {name: kind for kind, name in NAMES.items()}
LIMITS: Mapping[Kind, int] = {  # bytes of a whole packet
    Kind.VITALS: 16 * KIB,
    Kind.WAVE: 60 * KIB,
    Kind.ROLLUP: 60 * KIB,
    Kind.SEAL: 8 * KIB,
    Kind.EVENT: 4 * KIB,
    Kind.ALARM: 4 * KIB,
    Kind.KEY: 48 * KIB,
    Kind.LATE: 62 * KIB,
    Kind.BUNDLE: 32 * KIB,
}

_KINDS = tuple(Kind)  # by value: an enumeration's own call takes a microsecond
_LIMITS = tuple(LIMITS[kind] for kind in Kind)
_LARGEST = max(_LIMITS)
_KID = slice(len(SIGN1), len(SIGN1) + signing.KID)
_UNPROTECTED = _KID.stop  # where a0 stands
_TAIL = 2 + signing.SIGNATURE  # bytes of the signature with its head
_FIVE, _SIX = 0x85, 0x86  # heads of arrays
_AAD = b"\x58\x2c\x82\x6esmqtt/1 packet\x78\x1a"  # bstr [ "smqtt/1 packet", alias ]


class Alarm(NamedTuple):
    """What of an alarm the ladder must see unread."""

    id: bytes  # 16 bytes
    priority: int  # 3 high, 2 medium, 1 low, 0 over


@dataclass(frozen=True, slots=True)
class Envelope:
    """A packet's outside, unverified."""

    kid: bytes  # names the content key, first 4 bytes of its record's rid
    kind: Kind
    seq: int  # of its (alias, epoch), from 0, without holes
    slot: int  # ten-second slot of the UTC day, 0..8639
    epoch: int  # UTC day since 1970-01-01
    body: bytes
    alarm: Alarm | None
    signed: bytes  # the payload with its head, as the signature covers it
    signature: bytes  # r and s


def read(data: bytes) -> Envelope:
    """Return the envelope of *data*, one packet, without verifying it.

    Raises:
        OversizeError: it is larger than its kind may be.
        UnsignedError: it bears no signature.
        AlgorithmError: it names another algorithm than ES256.
        TrailingError: bytes follow it.
        MalformedError: it has any other form than the one.
    """
    size = len(data)
    if size > _LARGEST:
        raise OversizeError("larger than any packet may be")
    if not data.startswith(SIGN1):
        signing.refuse_other_forms(data)
    try:
        if data[_UNPROTECTED] != 0xA0:  # noqa: PLR2004 - an empty map
            raise MalformedError("the unprotected header is empty")
        length, start = _length(data, _UNPROTECTED + 1)
        end = start + length
        if size != end + _TAIL or data[end] != 0x58 or data[end + 1] != 0x40:  # noqa: PLR2004
            _refuse_tail(data, end)
        items, kind = data[start], data[start + 1]
        if kind > Kind.BUNDLE or items != (_SIX if kind == Kind.ALARM else _FIVE):
            raise MalformedError("a payload of five items, or an alarm of six")
        seq, at = _uint(data, start + 2)
        slot, at = _uint(data, at)
        epoch, at = _uint(data, at)
        length, at = _length(data, at)
    except IndexError as error:
        raise MalformedError("the packet ends too early") from error
    stop = at + length
    alarm = _alarm(data[stop:end]) if kind == Kind.ALARM else None
    if slot >= SLOTS or (alarm is None and stop != end):
        raise MalformedError("a slot of the day, and a body to the payload's end")
    if size > _LIMITS[kind]:
        raise OversizeError("larger than its kind may be")
    return Envelope(
        data[_KID],
        _KINDS[kind],
        seq,
        slot,
        epoch,
        data[at:stop],
        alarm,
        data[_UNPROTECTED + 1 : end],
        data[end + 2 :],
    )


def _uint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number below 2**32 at *at*, in its shortest form, and what follows."""
    head = data[at]
    if head < 0x18:  # noqa: PLR2004 - RFC 8949 §3: the value itself
        return head, at + 1
    if head == 0x19:  # noqa: PLR2004 - two bytes
        value = data[at + 1] << 8 | data[at + 2]
        if value > 0xFF:  # noqa: PLR2004
            return value, at + 3
    elif head == 0x18:  # noqa: PLR2004 - one byte
        value = data[at + 1]
        if value >= 0x18:  # noqa: PLR2004
            return value, at + 2
    elif head == 0x1A:  # noqa: PLR2004 - four bytes
        value = int.from_bytes(data[at + 1 : at + 5])
        if value > 0xFFFF:  # noqa: PLR2004
            return value, at + 5
    raise MalformedError("a number in its shortest form, below 2**32")


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Return the length of the byte string at *at*, and where its content begins."""
    head = data[at]
    if head == 0x58:  # noqa: PLR2004 - one byte of length
        value = data[at + 1]
        if value >= 0x18:  # noqa: PLR2004
            return value, at + 2
    elif head == 0x59:  # noqa: PLR2004 - two bytes of length
        value = data[at + 1] << 8 | data[at + 2]
        if value > 0xFF:  # noqa: PLR2004
            return value, at + 3
    elif 0x40 <= head < 0x58:  # noqa: PLR2004 - the length itself
        return head - 0x40, at + 1
    raise MalformedError("a byte string with its shortest head")


def _alarm(data: bytes) -> Alarm:
    """Return the alarm that *data*, the payload's end, is."""
    if len(data) != ALARM_ID + 3 or data[:2] != b"\x82\x50" or data[-1] > 3:  # noqa: PLR2004
        raise MalformedError("an alarm's id has 16 bytes, its priority is 0 to 3")
    return Alarm(data[2:-1], data[-1])


def _refuse_tail(data: bytes, end: int) -> None:
    """Say what is wrong with what follows the payload, which ends at *end*."""
    tail = data[end:]
    if tail[:1] == b"\x40":
        raise UnsignedError("the signature is empty")
    if tail[:2] == b"\x58\x40" and len(tail) > _TAIL:
        raise TrailingError("bytes follow the signature")
    raise MalformedError("a signature of 64 bytes ends the packet")


def place(envelope: Envelope, level: str) -> None:
    """Return if *envelope* belongs on the topic's *level*, such as ``vitals``.

    Raises:
        MisplacedError: its signed kind is another one.
    """
    if NAMES[envelope.kind] != level:
        raise MisplacedError("the topic says another kind than the packet")


def verify(
    envelope: Envelope, alias: str, public_key: ec.EllipticCurvePublicKey
) -> None:
    """Return if *public_key* signed *envelope* for *alias*.

    Raises:
        ForgedError: it did not, or for another alias.
    """
    if len(alias) != ALIAS or not alias.isascii():
        raise ForgedError("no such alias")
    signing.verify(
        public_key,
        b"".join((STRUCTURE, envelope.kid, _AAD, alias.encode(), envelope.signed)),
        envelope.signature,
    )


def seal_packet(  # noqa: PLR0913, PLR0917 - the header, field by field
    signing_key: ec.EllipticCurvePrivateKey,
    alias: str,
    kid: bytes,
    kind: Kind,
    seq: int,
    slot: int,
    epoch: int,
    body: bytes,
    alarm: Alarm | None = None,
) -> bytes:
    """Return the signed packet around *body*, which is sealed already or needs not be.

    Raises:
        OversizeError: it is larger than its kind may be.
        ValueError: a field is out of range, or an alarm without *alarm*.
    """
    _check(alias, kind, seq, slot, epoch, alarm)
    payload = cbor2.dumps([kind.value, seq, slot, epoch, body, *_last(alarm)])
    aad = cbor2.dumps(["smqtt/1 packet", alias])
    packet = signing.sign1(signing_key, kid, payload, aad)
    if len(packet) > LIMITS[kind]:
        raise OversizeError("larger than its kind may be")
    return packet


def _check(  # noqa: PLR0913, PLR0917 - the header, field by field
    alias: str, kind: Kind, seq: int, slot: int, epoch: int, alarm: Alarm | None
) -> None:
    """Refuse to sign what no reader takes."""
    if len(alias) != ALIAS or not alias.isascii():
        raise ValueError("an alias has 26 ASCII characters")
    if not (0 <= seq < SEQUENCES and 0 <= slot < SLOTS and 0 <= epoch < SEQUENCES):
        raise ValueError("seq, slot or epoch is out of range")
    if (alarm is not None) != (kind is Kind.ALARM):
        raise ValueError("an alarm, and nothing else, has an id and a priority")
    if alarm and (len(alarm.id) != ALARM_ID or not 0 <= alarm.priority <= 3):  # noqa: PLR2004
        raise ValueError("an alarm's id has 16 bytes, its priority is 0 to 3")


def _last(alarm: Alarm | None) -> list[list[bytes | int]]:
    """Return the items that *alarm* adds to the header: one or none."""
    return [] if alarm is None else [[alarm.id, alarm.priority]]


def nonce(seq: int) -> bytes:
    """Return the GCM nonce of *seq*: unique, as each start draws a fresh key."""
    return seq.to_bytes(12)


def aead_aad(  # noqa: PLR0913, PLR0917 - the header, field by field
    alias: str,
    kid: bytes,
    kind: Kind,
    seq: int,
    slot: int,
    epoch: int,
    alarm: Alarm | None = None,
) -> bytes:
    """Return what a body is sealed along with: the whole outer header."""
    header = ["smqtt/1 aead", alias, HEADER + kid, int(kind), seq, slot, epoch]
    return cbor2.dumps([*header, *_last(alarm)])
