"""An honest gateway's packets, and a door that knows its credential."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from sealward.intake.door import DAY, Door
from sealward.records.registry import Credential, Profile
from sealward.seal import envelope, signing
from sealward.seal.envelope import Kind

EPOCH = 20_780  # 2026-11-23
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
NOON = EPOCH * DAY + DAY // 2  # ms since 1970
SLOT = 4320  # of noon
KID = b"kid1"
BODY = bytes(40)


@dataclass
class Sender:
    """A gateway that plays by the rules, unless it is told otherwise."""

    alias: str = "k3v9q0d2m7x5c1p8r4t6w0y2za"
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    cred: int = 7
    profile: Profile = "gateway"

    def row(self, revoked_at: datetime | None = None) -> Credential:
        """Return this sender's row of the registry."""
        return Credential(
            cred=self.cred,
            alias=self.alias,
            epoch=EPOCH,
            pubkey65=signing.point65(self.key.public_key()),
            profile=self.profile,
            valid_from=MIDNIGHT - timedelta(hours=6),
            valid_to=MIDNIGHT + timedelta(days=2),
            revoked_at=revoked_at,
        )

    def packet(  # noqa: PLR0913 - the header, field by field
        self,
        seq: int = 0,
        *,
        kind: Kind = Kind.VITALS,
        slot: int = SLOT,
        epoch: int = EPOCH,
        body: bytes = BODY,
        alias: str | None = None,
    ) -> bytes:
        """Return a signed packet."""
        return envelope.seal_packet(
            self.key, alias or self.alias, KID, kind, seq, slot, epoch, body
        )


def door(*senders: Sender) -> Door:
    """Return a door that knows *senders*."""
    made = Door()
    made.learn(sender.row() for sender in senders)
    return made
