"""What a gateway keeps: its identity key, and each bed's credential of these days.

Everything lies in the gateway's own folder, 0700. The identity key (IDevID) is made
once and only ever signs; the credential's key (LDevID) is fresh with each alias.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sealward import files
from sealward.errors import ConfigError, RefusalError, UnavailableError
from sealward.seal import cbor, signing, slip
from sealward.wire import desk
from sealward.wire.tls import Identity

Answer = Mapping[str, Any]
HALF = ".half"  # suffix of the folder of a credential that is still being written
GRACE = 1  # days after its own for which an alias goes on, until rotation exists


class LapsedError(RefusalError):
    """The credential's day and its day of grace are over; fetch a new one."""

    reason = "lapsed"


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key in *path*, made there first if there is none."""
    if not path.exists():
        files.folder(path.parent)
        files.create(path, signing.private_pem(ec.generate_private_key(ec.SECP256R1())))
    return signing.from_private_pem(path.read_bytes())


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """What a gateway believes without asking anybody, learnt at its enrolment."""

    mpk: bytes  # 96 B, under which content secrets are wrapped
    custody: bytes  # SPKI that signs slips and receipt keys' certificates
    broker: bytes  # SHA-256 of the broker's SPKI


@dataclass(slots=True, kw_only=True)
class Credential:
    """One bed's credential: an alias, its key, and what custody gave with it."""

    slot: int
    alias: str
    epoch: int
    key: ec.EllipticCurvePrivateKey
    identity: Identity  # for the connection to the broker
    pins: Pins
    slip: slip.Slip
    salts: dict[int, bytes]

    def lasts(self, epoch: int) -> bool:
        """Return whether packets of *epoch* may still be sealed under this alias."""
        return self.epoch <= epoch <= self.epoch + GRACE


class Keeper:
    """The gateway's folder, and its errands to custody's desk."""

    def __init__(self, folder: Path, socket: Path) -> None:
        """Open *folder*, making the identity key there if it is new."""
        self.folder = folder
        self._socket = socket
        self.idevid = load_key(folder / "idevid.key")
        self.spki = signing.spki(self.idevid.public_key())

    def _signed(self, *items: object) -> bytes:
        """Return the identity key's signature over *items*."""
        return signing.sign(self.idevid, cbor.encode(list(items)))

    async def attach(self, slot: int, uid: str) -> str:
        """Attach the bed *slot* to the patient *uid*; return his display pseudonym.

        Whoever attaches compares its last four symbols with the patient's.
        """
        signature = self._signed("sealward/1 attach", self.spki, slot, uid)
        asked = {"idevid": self.spki, "slot": slot, "uid": uid, "signature": signature}
        answer = await desk.call(self._socket, "gateway.attach", asked)
        self._bed(slot).mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(answer["pseudonym"])

    async def credential(self, slot: int, now: datetime, epoch: int) -> Credential:
        """Return the bed's credential that serves *epoch*: the kept one, or a new.

        While custody is away, the one of the day before will do.

        Raises:
            UnavailableError: custody is away, and there is none that will do.
        """
        kept = self._kept(slot)
        if kept is not None and kept.epoch == epoch:
            return kept
        try:
            return await self._fetch(slot, now)
        except UnavailableError:
            if kept is None or not kept.lasts(epoch):
                raise
            return kept

    async def renew_slip(self, bed: Credential, now: datetime) -> None:
        """Fetch *bed*'s slip and day salts anew."""
        at = int(now.timestamp() * 1000)
        signature = self._signed("sealward/1 slip", bed.alias, at)
        asked = {
            "idevid": self.spki,
            "alias": bed.alias,
            "at": at,
            "signature": signature,
        }
        answer: Answer = await desk.call(self._socket, "slip.fetch", asked)
        bed.slip = self._slip(answer, bed.alias, bed.pins, now, bed.slip.policy_number)
        bed.salts = dict(answer["salts"])
        folder = self._bed(bed.slot) / bed.alias
        files.replace(folder / "slip.cbor", answer["slip"])
        files.replace(folder / "salts.cbor", cbor.encode(bed.salts))

    def retire(self, bed: Credential) -> None:
        """Give up *bed*'s alias: the next start asks for another."""
        (self._bed(bed.slot) / "current").unlink(missing_ok=True)

    def others(self, slot: int, alias: str) -> list[Credential]:
        """Return the bed's earlier credentials, whose packets may still wait."""
        folders = [
            path
            for path in self._bed(slot).iterdir()
            if path.is_dir() and path.suffix != HALF
        ]
        return [self._read(slot, path) for path in folders if path.name != alias]

    def _bed(self, slot: int) -> Path:
        return self.folder / f"bed-{slot}"

    def _kept(self, slot: int) -> Credential | None:
        current = self._bed(slot) / "current"
        if not current.exists():
            return None
        return self._read(slot, self._bed(slot) / current.read_text().strip())

    def _read(self, slot: int, folder: Path) -> Credential:
        """Read the credential whose alias *folder* is named after."""
        kept = cbor.decode((folder / "pins.cbor").read_bytes())
        if not isinstance(kept, dict):
            raise ConfigError(f"{folder.name}/pins.cbor is damaged")
        pins = Pins(mpk=kept["mpk"], custody=kept["custody"], broker=kept["broker"])
        salts = cbor.decode((folder / "salts.cbor").read_bytes())
        if not isinstance(salts, dict):
            raise ConfigError(f"{folder.name}/salts.cbor is damaged")
        return Credential(
            slot=slot,
            alias=folder.name,
            epoch=kept["epoch"],
            key=load_key(folder / "ldevid.key"),
            identity=Identity(
                certificate=folder / "cert.pem",
                key=folder / "ldevid.key",
                authority=folder / "broker-ca.pem",
            ),
            pins=pins,
            slip=slip.verify(
                signing.from_spki(pins.custody),
                folder.name,
                (folder / "slip.cbor").read_bytes(),
                now=0,  # it was in force when it was kept; it serves until the next
            ),
            salts=salts,
        )

    async def _fetch(self, slot: int, now: datetime) -> Credential:
        """Make a fresh key and have custody certify it under a fresh alias."""
        key = ec.generate_private_key(ec.SECP256R1())
        request = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .sign(key, hashes.SHA256())
            .public_bytes(serialization.Encoding.DER)
        )
        at = int(now.timestamp() * 1000)
        digest = sha256(request).digest()
        signature = self._signed("sealward/1 credential", digest, slot, at)
        asked = {
            "idevid": self.spki,
            "slot": slot,
            "request": request,
            "at": at,
            "signature": signature,
        }
        answer: Answer = await desk.call(self._socket, "credential.issue", asked)
        pins = Pins(
            mpk=answer["mpk"], custody=answer["custody"], broker=answer["broker"]
        )
        alias = str(answer["alias"])
        self._slip(answer, alias, self._pinned(pins), now, 0)
        for stale in self._bed(slot).glob(f"*{HALF}"):
            shutil.rmtree(stale)
        whole = self._bed(slot) / alias
        folder = files.folder(whole.with_suffix(HALF))
        files.replace(folder / "ldevid.key", signing.private_pem(key))
        files.replace(folder / "cert.pem", answer["certificate"])
        files.replace(folder / "broker-ca.pem", answer["broker_ca"])
        files.replace(folder / "slip.cbor", answer["slip"])
        files.replace(folder / "salts.cbor", cbor.encode(answer["salts"]))
        files.replace(
            folder / "pins.cbor",
            cbor.encode(
                {
                    "mpk": pins.mpk,
                    "custody": pins.custody,
                    "broker": pins.broker,
                    "epoch": answer["epoch"],
                }
            ),
        )
        folder.rename(whole)
        files.replace(self._bed(slot) / "current", alias.encode())
        return self._read(slot, whole)

    def _pinned(self, pins: Pins) -> Pins:
        """Hold custody to the key by which the gateway first met it."""
        path = self.folder / "custody.spki"
        if not path.exists():
            files.replace(path, pins.custody)
        if path.read_bytes() != pins.custody:
            raise ConfigError("custody answers under another key than at enrolment")
        return pins

    @staticmethod
    def _slip(
        answer: Answer, alias: str, pins: Pins, now: datetime, number: int
    ) -> slip.Slip:
        """Return the slip in *answer*, if custody signed it for this alias."""
        return slip.verify(
            signing.from_spki(pins.custody),
            alias,
            answer["slip"],
            now=int(now.timestamp()),
            least=number,
        )
