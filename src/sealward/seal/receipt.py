"""Say what the server stored, refused or asks for again, signed by a service key.

A receipt is the only word that lets a gateway forget: PUBACK is none. Service keys
live a day and speak for one partition, as custody's certificate says.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from cryptography.hazmat.primitives.asymmetric import ec

from sealward.errors import RefusalError
from sealward.seal import cbor, signing
from sealward.seal.cbor import MalformedError
from sealward.seal.envelope import SEQUENCES

RANGES = 32  # that one receipt may name
CERTIFIED = 24 * 3600  # seconds that a service key may live
HASH = 32  # bytes
SLOW, SKEWED = 1, 2  # flags: send slower; your clock differs by more than 5 s

_CERTIFICATE_AAD = cbor.encode(["smqtt/1 service key"])
_RECEIPT, _REFUSAL, _RESEND = 1, 2, 3


class ReceiptError(RefusalError):
    """The receipt, or the certificate of its key, says what it may not."""

    reason = "receipt"


class Code(IntEnum):
    """Why the door refused a packet."""

    MALFORMED = 1
    EXPIRED = 2  # the credential
    EPOCH = 3
    TIME = 4
    SIGNATURE = 5
    SIZE = 6
    CLOSED = 7  # the alias
    CONFLICT = 8  # the same seq with other bytes


RETRY = frozenset((Code.EPOCH, Code.TIME))  # that time or a mended clock heals


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Every seq below *upto*, and those in *ranges*, are committed or declared gone."""

    epoch: int
    upto: int
    ranges: tuple[tuple[int, int], ...] = ()  # inclusive, rising, above upto
    server_ms: int  # unix milliseconds
    flags: int = 0
    last: bytes = b""  # SHA-256 of packet upto - 1; empty if upto is 0

    def encode(self) -> bytes:
        """Return what is signed."""
        ranges = [list(each) for each in self.ranges]
        return cbor.encode(
            [
                _RECEIPT,
                self.epoch,
                self.upto,
                ranges,
                self.server_ms,
                self.flags,
                self.last,
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The packet *seq* was not taken."""

    epoch: int
    seq: int
    code: Code
    server_ms: int

    def encode(self) -> bytes:
        """Return what is signed."""
        return cbor.encode([_REFUSAL, self.epoch, self.seq, self.code, self.server_ms])


@dataclass(frozen=True, slots=True, kw_only=True)
class Resend:
    """The packets *first* to *last*, both included, are wanted again."""

    epoch: int
    first: int
    last: int
    server_ms: int  # rises from one to the next

    def encode(self) -> bytes:
        """Return what is signed."""
        return cbor.encode([_RESEND, self.epoch, self.first, self.last, self.server_ms])


Message = Receipt | Refusal | Resend


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCertificate:
    """Custody's word that a key serves as *role*, for a day at most."""

    role: str  # "receipt", or "relay" with partition 0
    partition: int
    spki: bytes
    since: int  # unix seconds
    until: int

    @property
    def public(self) -> ec.EllipticCurvePublicKey:
        """Return the certified key."""
        return signing.from_spki(self.spki)

    @property
    def kid(self) -> bytes:
        """Return the four bytes by which the key's messages name it."""
        return signing.kid_of(self.public)

    def sign(self, custody: ec.EllipticCurvePrivateKey) -> bytes:
        """Return this certificate as *custody*'s COSE_Sign1.

        Raises:
            ReceiptError: it would live longer than a day, or never.
        """
        _lifetime(self)
        payload = cbor.encode(
            [1, self.role, self.partition, self.spki, self.since, self.until]
        )
        kid = signing.kid_of(custody.public_key())
        return signing.sign1(custody, kid, payload, _CERTIFICATE_AAD)

    @classmethod
    def verify(
        cls, custody: ec.EllipticCurvePublicKey, data: bytes
    ) -> "ServiceCertificate":
        """Return the certificate that *custody* signed in *data*.

        Raises:
            UnsignedError, AlgorithmError, MalformedError, ForgedError: it did not.
            ReceiptError: the certificate may not live that long.
        """
        signed = signing.verify1(custody, data, _CERTIFICATE_AAD)
        reader = cbor.Reader(signed.payload)
        reader.array(6)
        reader.integer(1)
        found = cls(
            role=reader.text(16),
            partition=reader.uint(256),
            spki=reader.blob(signing.SPKI),
            since=reader.uint(),
            until=reader.uint(),
        )
        reader.end()
        if signed.kid != signing.kid_of(custody) or not found.kid:
            raise MalformedError("custody's kid is that of its key")
        _lifetime(found)
        return found


def _lifetime(certificate: ServiceCertificate) -> None:
    """Refuse a certificate that lives longer than a day, or not at all."""
    if not 0 < certificate.until - certificate.since <= CERTIFIED:
        raise ReceiptError("a service key lives a day at most")
    if certificate.role not in ("receipt", "relay"):
        raise ReceiptError("a service key signs receipts or relays")


def _aad(alias: str) -> bytes:
    return cbor.encode(["smqtt/1 receipt", alias])


def sign(key: ec.EllipticCurvePrivateKey, alias: str, message: Message) -> bytes:
    """Return *message* to *alias* as a COSE_Sign1 by the partition's receipt key."""
    kid = signing.kid_of(key.public_key())
    return signing.sign1(key, kid, message.encode(), _aad(alias))


def verify(
    data: bytes,
    alias: str,
    certificates: Iterable[ServiceCertificate],
    *,
    partition: int,
    now: int,
) -> Message | None:
    """Return the message to *alias* in *data*, or None if its key is unknown.

    None asks for nothing but today's slip, which brings today's certificates. *now*
    is in unix seconds, *partition* the one that the slip named.

    Raises:
        UnsignedError, AlgorithmError, MalformedError, ForgedError: nobody signed this.
        ReceiptError: its key is another partition's, or not of this day.
    """
    kid, _, _ = signing.split1(data)
    named = [each for each in certificates if each.kid == kid]
    if not named:
        return None
    # One key may be certified for today and, in a second certificate, for tomorrow.
    certificate = next((c for c in named if c.since <= now < c.until), named[0])
    signed = signing.verify1(certificate.public, data, _aad(alias))
    if (certificate.role, certificate.partition) != ("receipt", partition):
        raise ReceiptError("the key does not sign receipts of this partition")
    if not certificate.since <= now < certificate.until:
        raise ReceiptError("the key is not of this day")
    return _message(signed.payload)


def _message(payload: bytes) -> Message:
    """Return the message that *payload* is."""
    reader = cbor.Reader(payload)
    size, what = reader.array(), reader.uint()
    epoch = reader.uint(SEQUENCES)
    message: Message
    if (what, size) == (_RECEIPT, 7):
        upto = reader.uint(SEQUENCES + 1)
        message = Receipt(
            epoch=epoch,
            upto=upto,
            ranges=_ranges(reader, upto),
            server_ms=reader.uint(),
            flags=reader.uint(256),
            last=reader.blob(HASH if upto else 0),
        )
    elif (what, size) == (_REFUSAL, 5):
        seq, code = reader.uint(SEQUENCES), reader.uint()
        if code not in set(Code):
            raise MalformedError("a code from 1 to 8")
        message = Refusal(
            epoch=epoch, seq=seq, code=Code(code), server_ms=reader.uint()
        )
    elif (what, size) == (_RESEND, 5):
        first, last = reader.uint(SEQUENCES), reader.uint(SEQUENCES)
        if first > last:
            raise MalformedError("a range that ends before it begins")
        message = Resend(epoch=epoch, first=first, last=last, server_ms=reader.uint())
    else:
        raise MalformedError("a receipt, a refusal or a resend")
    reader.end()
    return message


def _ranges(reader: cbor.Reader, upto: int) -> tuple[tuple[int, int], ...]:
    """Take the ranges above *upto*, which rise and do not overlap."""
    ranges = []
    least = upto + 1  # upto itself is missing, or it would be higher
    for _ in range(reader.array(most=RANGES)):
        reader.array(2)
        first, last = reader.uint(SEQUENCES), reader.uint(SEQUENCES)
        if not least <= first <= last:
            raise MalformedError("ranges rise above upto and do not overlap")
        ranges.append((first, last))
        least = last + 1
    return tuple(ranges)
