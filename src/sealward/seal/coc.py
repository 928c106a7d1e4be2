"""Read and write frames of the critical channel: sealed, and not signed.

A frame is COSE_Encrypt0 (RFC 9052 §5.2). Its header is clear, so that a relay
without keys can escalate, and nobody has authenticated it: it may raise an alarm and
never lower or close one. A signed copy of each alarm follows on the other channel.
"""

from dataclasses import dataclass, field
from enum import IntEnum

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

from sealward.seal import cbor, signing
from sealward.seal.cbor import MalformedError
from sealward.seal.envelope import ALARM_ID, SEQUENCES, SLOTS, OversizeError
from sealward.seal.signing import KID

SIZE = 2 * 1024  # bytes of a frame
PRIORITIES = 4  # 3 high, 2 medium, 1 low, 0 over or stream

_TAG = 16  # COSE_Encrypt0
_A256GCM = 3
_CLEAR = -70021  # private use: RFC 9053 §8


class What(IntEnum):
    """What a frame carries."""

    ALARM = 0
    VITALS = 1
    WAVE = 2
    OVER = 3  # stood down
    HEARTBEAT = 4


WITH_ID = frozenset((What.ALARM, What.OVER))  # the others name no alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The clear part of a frame that its sender chooses."""

    seq: int  # of a counter of its own for each (alias, epoch), with holes
    what: What
    slot: int  # ten-second slot of the UTC day, 0..8639
    priority: int
    alarm_id: bytes = b""  # 16 bytes for an alarm and its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame as a relay sees it."""

    seq: int
    what: What
    slot: int
    epoch: int
    priority: int
    alarm_id: bytes
    kid: bytes
    protected: bytes = field(repr=False)
    body: bytes = field(repr=False)


def protect(header: Header, kid: bytes, epoch: int) -> bytes:
    """Return the protected header of a frame under the live key *kid*.

    Raises:
        ValueError: a field is out of range.
    """
    size = ALARM_ID if header.what in WITH_ID else 0
    if not (0 <= header.seq < SEQUENCES and 0 <= header.slot < SLOTS):
        raise ValueError("seq or slot is out of range")
    if not 0 <= header.priority < PRIORITIES or len(header.alarm_id) != size:
        raise ValueError("priority or alarm id is out of range")
    clear = [
        int(header.what),
        header.slot,
        epoch,
        header.priority,
        header.alarm_id,
    ]
    partial = _partial(header.seq)
    return cbor.encode({1: _A256GCM, 4: kid, 6: partial, _CLEAR: clear})


def _partial(seq: int) -> bytes:
    """Return *seq* as a partial IV: the fewest bytes, and one at least."""
    return seq.to_bytes(max(1, (seq.bit_length() + 7) // 8))


def frame(protected: bytes, body: bytes) -> bytes:
    """Return the frame of *protected* header and sealed *body*.

    Raises:
        OversizeError: it is larger than ``SIZE``.
    """
    data = cbor2.dumps(cbor2.CBORTag(_TAG, [protected, {}, body]))
    if len(data) > SIZE:
        raise OversizeError("larger than a frame may be")
    return data


def aead_aad(alias: str, protected: bytes) -> bytes:
    """Return the Enc_structure (RFC 9052 §5.3) of *alias*'s frame."""
    return cbor2.dumps(["Encrypt0", protected, cbor2.dumps(["smqtt/1 coc", alias])])


def read(data: bytes) -> Frame:
    """Return the frame that *data* is, its header unauthenticated.

    Raises:
        OversizeError: it is larger than ``SIZE``.
        MalformedError: it has any other form than the one.
    """
    if len(data) > SIZE:
        raise OversizeError("larger than a frame may be")
    reader = cbor.Reader(data)
    reader.tag(_TAG)
    reader.array(3)
    protected = reader.blob()
    reader.map(0)
    body = reader.blob()
    reader.end()
    return _header(protected, body)


def _header(protected: bytes, body: bytes) -> Frame:
    """Return the frame of *protected* header and *body*."""
    reader = cbor.Reader(protected)
    reader.map(4)
    reader.integer(1)
    reader.integer(_A256GCM)
    reader.integer(4)
    kid = reader.blob(KID)
    reader.integer(6)
    partial = reader.blob(most=4)
    reader.integer(_CLEAR)
    reader.array(5)
    what = What(reader.uint(len(What)))
    found = Frame(
        seq=int.from_bytes(partial),
        what=what,
        slot=reader.uint(SLOTS),
        epoch=reader.uint(SEQUENCES),
        priority=reader.uint(PRIORITIES),
        alarm_id=reader.blob(ALARM_ID if what in WITH_ID else 0),
        kid=kid,
        protected=protected,
        body=body,
    )
    reader.end()
    if partial != _partial(found.seq):
        raise MalformedError("a partial IV in its shortest form")
    return found


def sign_ack(
    relay: ec.EllipticCurvePrivateKey, alias: str, epoch: int, seq: int
) -> bytes:
    """Return the relay's word that it has frame *seq*; it ends the repeats alone."""
    kid = signing.kid_of(relay.public_key())
    return signing.sign1(relay, kid, cbor.encode([1, epoch, seq]), _ack(alias))


def verify_ack(
    relay: ec.EllipticCurvePublicKey, alias: str, data: bytes
) -> tuple[int, int]:
    """Return epoch and seq of the frame that *relay* acknowledges in *data*.

    Raises:
        UnsignedError, AlgorithmError, MalformedError, ForgedError: it does not.
    """
    reader = cbor.Reader(signing.verify1(relay, data, _ack(alias)).payload)
    reader.array(3)
    reader.integer(1)
    epoch, seq = reader.uint(SEQUENCES), reader.uint(SEQUENCES)
    reader.end()
    return epoch, seq


def _ack(alias: str) -> bytes:
    return cbor.encode(["smqtt/1 coc-ack", alias])
