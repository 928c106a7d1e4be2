"""Sign what was stored, so that gateways may forget, and what was refused.

One key a partition, made in intake's own folder; custody certifies it by the day.
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from sealward import files
from sealward.errors import RefusalError
from sealward.intake.door import Sender
from sealward.intake.marks import Mark
from sealward.seal import receipt, signing
from sealward.seal.receipt import Code, Receipt, Refusal
from sealward.wire.telemetry import PARTITIONS, partition
from sealward.wire.topics import Alias

# What a gateway makes of a refusal; a word that is not here is 1, malformed. It is
# told of what its own key signed alone, so never of a signature or of a size.
CODES = {
    "expired": Code.EXPIRED,
    "epoch": Code.EPOCH,
    "early": Code.TIME,
    "far": Code.TIME,
    "undayed": Code.TIME,
    "revoked": Code.CLOSED,
    "conflicting": Code.CONFLICT,
}


class Receipts:
    """Intake's receipt keys."""

    def __init__(self, folder: Path) -> None:
        """Read the keys in *folder*, made there at the first start."""
        self._keys = {
            number: _key(folder / f"receipt-{number}.key")
            for number in range(PARTITIONS)
        }

    def public(self) -> dict[int, bytes]:
        """Return the SPKI of each partition's key, for custody to certify."""
        return {
            number: signing.spki(key.public_key()) for number, key in self._keys.items()
        }

    def receipt(self, sender: Sender, epoch: int, mark: Mark, now: int) -> bytes:
        """Return the receipt for what *mark* says is stored; *now* in ms."""
        message = Receipt(
            epoch=epoch,
            upto=mark.upto,
            ranges=tuple(mark.ranges()),
            server_ms=now,
            last=mark.digest if mark.upto else b"",
        )
        return self._signed(sender.alias, message)

    def refusal(
        self, alias: str, epoch: int, seq: int, error: RefusalError, now: int
    ) -> bytes:
        """Return word that packet *seq* was refused for *error*'s reason."""
        code = CODES.get(error.reason, Code.MALFORMED)
        message = Refusal(epoch=epoch, seq=seq, code=code, server_ms=now)
        return self._signed(alias, message)

    def _signed(self, alias: str, message: Receipt | Refusal) -> bytes:
        return receipt.sign(self._keys[partition(Alias(alias))], alias, message)


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the key in *path*, made there if it is new."""
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        files.create(path, signing.private_pem(made))
    return signing.from_private_pem(path.read_bytes())
