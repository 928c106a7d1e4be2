"""What the claims about sealing share: two backends and one patient's day."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sealward.seal import keys, signing
from sealward.seal.attributekey import AttributeKey
from sealward.seal.curve import Hybrid
from sealward.seal.granting import grant
from sealward.seal.kem import Kem, MasterPublic
from sealward.seal.keys import day_salt
from sealward.seal.opening import LoadedKey, load
from sealward.seal.sealing import ContentKey

VECTORS = Path(__file__).parents[1] / "vectors"


def scalar(label: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key that the vectors derive from *label*."""
    number = int.from_bytes(sha256(label).digest()) % (signing.P256_ORDER - 1) + 1
    return ec.derive_private_key(number, ec.SECP256R1())


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], Any]:
    """Return a reader of the vectors by the name of their source."""

    def read(source: str) -> Any:  # noqa: ANN401 - a vector has many shapes
        path = VECTORS / source / f"{source}.json"
        return json.loads(path.read_text(encoding="utf-8"))

    return read


@pytest.fixture(scope="session")
def kem() -> Kem:
    """Return the encapsulation on the backend that the product uses."""
    return Kem(Hybrid())


@dataclass(kw_only=True)
class Day:
    """One patient's day: authority, device, salt and one who may read."""

    kem: Kem
    alpha: int = 20260101
    alias: str = "k3v9q0d2m7x5c1p8r4t6w0y2za"
    epoch: int = 20780
    pseudonym: str = "7g4m2qk9x0tb"
    profile: bytes = sha256(b"profile").digest()
    erase_salt: bytes = sha256(b"erase salt").digest()
    gateway: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: scalar(b"sealward test gateway")
    )
    idevid: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: scalar(b"sealward test idevid")
    )
    policy: str = "(role:clinician and ward:icu) or care:a"

    @property
    def mpk(self) -> MasterPublic:
        """Return the authority's public key."""
        backend = self.kem.backend
        return self.kem.master(backend.e(backend.mul(backend.g2, self.alpha)))

    @property
    def salt(self) -> bytes:
        """Return the patient's salt of the day."""
        return day_salt(self.erase_salt, self.epoch)

    def key(self, *attributes: str, seed: bytes = b"r") -> LoadedKey:
        """Return a person's attribute key for *attributes*."""
        random = sha256(seed).digest() + bytes(16)
        data = grant(self.kem, self.alpha, attributes, random, person="p", issuance=1)
        return load(self.kem, AttributeKey.decode(data))

    def content(
        self,
        purpose: int = keys.LIVE,
        seed: bytes = b"",
        **other: Any,  # noqa: ANN401
    ) -> ContentKey:
        """Return a fresh content key of the day, drawn from *seed*."""
        random = b"".join(sha256(seed + bytes([i])).digest() for i in range(3))
        given: Any = {
            "alias": self.alias,
            "epoch": self.epoch,
            "purpose": purpose,
            "salt": self.salt,
            "salt_epoch": self.epoch,
            "mpk": self.mpk,
            "policy_text": self.policy,
            "policy_number": 7,
            "pseudonym": self.pseudonym,
            "profile_hash": self.profile,
            "idevid": self.idevid,
            "ldevid": signing.spki(self.gateway.public_key()),
            "random": random[:80],
        }
        return ContentKey.make(self.kem, **{**given, **other})

    def known(self, content: ContentKey) -> Any:  # noqa: ANN401 - keyword arguments
        """Return what an honest reader holds *content*'s record against."""
        name = content.name
        return {
            "outer": (self.alias, self.epoch, name.purpose, name.kid),
            "salts": {self.epoch: self.salt},
            "pseudonym": self.pseudonym,
            "profile_hash": self.profile,
            "ldevid_spki": signing.spki(self.gateway.public_key()),
            "pinned_idevid": signing.spki(self.idevid.public_key()),
        }


@pytest.fixture
def day(kem: Kem) -> Day:
    """Return one patient's day."""
    return Day(kem=kem)
