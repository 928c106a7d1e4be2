"""One bed's credential and all that stands behind it, made without any server."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec

from sealward.analyst.reading import Beds
from sealward.bedside.bed import Bed, Sealed
from sealward.bedside.credential import Credential, Pins
from sealward.metrics import Metrics
from sealward.packet.profile import BED_1, ICU_1, Profile
from sealward.records.registry import Bed as Row
from sealward.records.registry import BindingId
from sealward.seal import keys, receipt, signing, slip
from sealward.seal.attributekey import AttributeKey
from sealward.seal.curve import Hybrid
from sealward.seal.envelope import Kind
from sealward.seal.granting import grant, public
from sealward.seal.kem import Kem
from sealward.seal.receipt import Message, ServiceCertificate
from sealward.vitals.reading import Reading, read
from sealward.wire.spool import Spool
from sealward.wire.tls import Identity

EPOCH = 20_780  # 2026-11-23
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)  # that begins it
DAY = timedelta(days=1)
ALIAS = "k3v9q0d2m7x5c1p8r4t6w0y2za"
PSEUDONYM = "7g4m2qk9x0tb"
PATIENT = UUID(int=7)
PARTITION = 3
KEM = Kem(Hybrid())

_ALPHA = 20260101
_ERASE = sha256(b"erase salt").digest()


def _new() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(kw_only=True)
class Backstage:
    """Custody, authority, intake and one device, as far as one bed needs them."""

    epoch: int = EPOCH
    pack_seconds: int = 1
    custody: ec.EllipticCurvePrivateKey = field(default_factory=_new)
    idevid: ec.EllipticCurvePrivateKey = field(default_factory=_new)
    ldevid: ec.EllipticCurvePrivateKey = field(default_factory=_new)
    receipts: ec.EllipticCurvePrivateKey = field(default_factory=_new)

    def certificate(
        self, partition: int = PARTITION, days: int = 0, role: str = "receipt"
    ) -> bytes:
        """Return the certificate of intake's receipt key, of *days* from today."""
        since = int((MIDNIGHT + days * DAY).timestamp())
        return ServiceCertificate(
            role=role,
            partition=partition,
            spki=signing.spki(self.receipts.public_key()),
            since=since,
            until=since + 86_400,
        ).sign(self.custody)

    def slip(self, *certificates: bytes) -> slip.Slip:
        """Return the slip of the day, which names intake's receipt key."""
        return slip.Slip(
            id=bytes(16),
            expires=int((MIDNIGHT + 2 * DAY).timestamp()),
            epoch=self.epoch,
            policy_number=1,
            live="role:nurse and ward:icu",
            trend="role:analyst",
            pseudonym=PSEUDONYM,
            partition=PARTITION,
            certificates=certificates or (self.certificate(), self.certificate(days=1)),
            pack_seconds=self.pack_seconds,
        )

    def salts(self, days: Iterable[int] = range(4)) -> dict[int, bytes]:
        """Return the day salts of *days* from the credential's day on."""
        return {
            self.epoch + each: keys.day_salt(_ERASE, self.epoch + each) for each in days
        }

    def credential(
        self, days: Iterable[int] = range(4), alias: str = ALIAS
    ) -> Credential:
        """Return the credential of the day, with the day salts of *days*."""
        return Credential(
            slot=0,
            alias=alias,
            epoch=self.epoch,
            key=self.ldevid,
            identity=Identity(
                certificate=Path("none"), key=Path("none"), authority=Path("none")
            ),
            pins=Pins(
                mpk=public(KEM, _ALPHA),
                custody=signing.spki(self.custody.public_key()),
                broker=bytes(32),
            ),
            slip=self.slip(),
            salts=self.salts(days),
        )

    def say(self, message: Message, alias: str = ALIAS) -> bytes:
        """Return *message* as intake signs it for *alias*."""
        return receipt.sign(self.receipts, alias, message)

    def row(self) -> Row:
        """Return the bed as the registry knows it."""
        return Row(
            patient_id=PATIENT,
            pseudonym=PSEUDONYM,
            binding_id=BindingId(1),
            slot=0,
            device_spki=signing.spki(self.idevid.public_key()),
            cred=1,
            alias=ALIAS,
            epoch=self.epoch,
            pubkey65=signing.point65(self.ldevid.public_key()),
            profile="gateway",
        )

    def reader(self) -> Beds:
        """Return a nurse of the ward who holds keys and salts of two days."""
        beds = Beds(KEM, (BED_1, ICU_1), {})
        beds.learn([self.row()])
        days = [f"t.day:{keys.day_of(self.epoch + each)}" for each in range(2)]
        random = sha256(b"r").digest() + bytes(16)
        granted = grant(
            KEM, _ALPHA, ["role:nurse", "ward:icu", *days], random, person="p",
            issuance=1,
        )  # fmt: skip
        beds.hold(AttributeKey.decode(granted))
        beds.salt(PATIENT, self.salts())
        return beds

    def bed(
        self,
        spool: Spool,
        credential: Credential | None = None,
        *,
        profile: Profile = BED_1,
        metrics: Metrics | None = None,
        told: list[Sealed] | None = None,
    ) -> Bed:
        """Return a bed that seals into *spool*."""
        return Bed(
            credential or self.credential(),
            self.idevid,
            profile,
            spool,
            metrics or Metrics(),
            self.pack_seconds * 1000,
            (lambda _: None) if told is None else told.append,
        )


class Spooled(NamedTuple):
    """A row of a spool's file."""

    alias: str
    epoch: int
    seq: int
    kind: Kind
    body: bytes


def spooled(path: Path) -> list[Spooled]:
    """Return every packet in the spool *path*, by number."""
    with closing(sqlite3.connect(path)) as base:
        rows = base.execute(
            "select alias, epoch, seq, kind, body from out order by alias, epoch, seq"
        ).fetchall()
    return [Spooled(a, e, s, Kind(kind), body) for a, e, s, kind, body in rows]


def nanoseconds(at: datetime) -> int:
    """Return *at* in whole nanoseconds since 1970."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def pulse(bed: Bed, at: datetime, vital: str = "hr", value: int = 70) -> Reading:
    """Let *bed* take a reading of the moment *at*; return it."""
    reading = read(vital, value, at=at)
    bed.take(reading, nanoseconds(at))
    return reading
