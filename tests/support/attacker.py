"""Gateways whose keys a test holds: what they can say, honestly or not."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

from sealward.intake.door import DAY, SLOT
from sealward.records.registry import Credential
from sealward.seal import envelope, granting, keys, opening, record, signing
from sealward.seal.attributekey import AttributeKey
from sealward.seal.curve import Hybrid
from sealward.seal.envelope import Alarm, Kind
from sealward.seal.kem import Kem
from sealward.seal.sealing import ContentKey

EPOCH = 20_780  # 2026-11-23
NOON = EPOCH * DAY + DAY // 2  # ms since 1970
KID = b"\1\2\3\4"
KEM = Kem(Hybrid())
ALPHA, MPK = granting.setup(KEM, bytes(range(48)))  # an authority of the test's own
PSEUDONYM = "7g4m2qk9x0tb"
NURSE = ("role:nurse", "ward:icu")
TAIL = 66  # bytes of a packet's signature with its head


def secret() -> ec.EllipticCurvePrivateKey:
    """Return a fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(kw_only=True)
class Device:
    """A credential: whose key it is, and for which day."""

    alias: str = "a" * 26
    epoch: int = EPOCH
    cred: int = 7
    key: ec.EllipticCurvePrivateKey = field(default_factory=secret)

    def row(self, **changes: Any) -> Credential:  # noqa: ANN401 - a row's fields
        """Return the registry's row of it, with *changes*."""
        begins = datetime.fromtimestamp(self.epoch * DAY // 1000, UTC)
        given: dict[str, Any] = {
            "cred": self.cred,
            "alias": self.alias,
            "epoch": self.epoch,
            "pubkey65": signing.point65(self.key.public_key()),
            "profile": "gateway",
            "valid_from": begins - timedelta(hours=6),
            "valid_to": begins + timedelta(days=2),
            "revoked_at": None,
        }
        return Credential(**{**given, **changes})

    def packet(  # noqa: PLR0913 - a packet's fields
        self,
        seq: int = 0,
        kind: Kind = Kind.VITALS,
        *,
        slot: int = 4319,
        epoch: int | None = None,
        body: bytes = b"sealed",
        kid: bytes = KID,
    ) -> bytes:
        """Return a packet that is genuine unless an argument says else."""
        alarm = Alarm(bytes(16), 3) if kind is Kind.ALARM else None
        day = self.epoch if epoch is None else epoch
        return envelope.seal_packet(
            self.key, self.alias, kid, kind, seq, slot, day, body, alarm
        )

    def slot(self, now_ms: int) -> int:
        """Return the slot of the credential's day in which *now_ms* lies."""
        return min(max((now_ms - self.epoch * DAY) // SLOT, 0), envelope.SLOTS - 1)

    def content(self, **changes: Any) -> ContentKey:  # noqa: ANN401 - as row
        """Return a fresh content key, whose record ``changes`` may spoil."""
        given: dict[str, Any] = {
            "alias": self.alias,
            "epoch": self.epoch,
            "purpose": keys.LIVE,
            "salt": bytes(32),
            "salt_epoch": self.epoch,
            "mpk": KEM.master(MPK),
            "policy_text": "role:nurse and ward:icu",
            "policy_number": 1,
            "pseudonym": PSEUDONYM,
            "profile_hash": bytes(32),
            "idevid": self.key,
            "ldevid": signing.spki(self.key.public_key()),
            "random": os.urandom(80),
        }
        return ContentKey.make(KEM, **{**given, **changes})


def read_record(body: bytes, device: Device, *attributes: str) -> opening.OpenedRecord:
    """Open the key record *body* of *device* as an entitled reader does.

    Raises:
        SealwardError: a leaf of it; the reader does not open the record.
    """
    random = bytes(48)
    key = granting.grant(
        KEM, ALPHA, attributes or NURSE, random, person="p", issuance=1
    )
    name = record.read(body).name
    return opening.open_record(
        KEM,
        opening.load(KEM, AttributeKey.decode(key)),
        body,
        outer=(device.alias, device.epoch, keys.LIVE, name.kid),
        salts={device.epoch: bytes(32)},
        pseudonym=PSEUDONYM,
        profile_hash=bytes(32),
        ldevid_spki=signing.spki(device.key.public_key()),
        pinned_idevid=signing.spki(device.key.public_key()),
    )


def unsigned(packet: bytes) -> bytes:
    """Return *packet* with nothing where its signature was."""
    return packet[:-TAIL] + b"\x40"


def sealed_only(packet: bytes) -> bytes:
    """Return *packet* as COSE_Encrypt0 (tag 16), which bears no signature at all."""
    return b"\xd0" + packet[1:]


def of_algorithm(packet: bytes, number: int) -> bytes:
    """Return *packet* with COSE's algorithm *number* in its protected header."""
    header = cbor2.dumps({1: number, 4: KID})
    return b"\xd2\x84" + cbor2.dumps(header) + packet[len(signing.SIGN1) + 4 :]


def regrown(packet: bytes, size: int, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return *packet* with a body of *size* bytes, signed anew: no encoder of ours."""
    was = envelope.read(packet)
    alarm = [list(was.alarm)] if was.alarm else []
    payload = cbor2.dumps(
        [int(was.kind), was.seq, was.slot, was.epoch, bytes(size), *alarm]
    )
    return signing.sign1(key, was.kid, payload, b"")
