"""A reader's folder: who the reader is, and the errands to the two desks.

The folder, 0700, holds a P-256 key that a registrar has signed for this person. By it
the reader proves itself, and to it the authority seals attribute keys.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec

from sealward import files
from sealward.errors import ConfigError
from sealward.seal import cbor, grantorder, package, signing
from sealward.seal.attributekey import AttributeKey, check_key
from sealward.seal.kem import Kem
from sealward.wire import desk

Answer = Mapping[str, Any]
KEY = "reader.key"
CARD = "reader.cbor"


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    return signing.from_private_pem(path.read_bytes())


def _empty(folder: Path) -> None:
    """Make *folder*, which holds no reader yet."""
    if (folder / CARD).exists():
        raise ConfigError(f"{folder} holds a reader already")
    files.folder(folder)


async def enrol(  # noqa: PLR0913 - who, as what, and whose word counts
    folder: Path,
    subject: str,
    attributes: Sequence[str],
    *,
    registrar: Path,
    custody: Path,
    authority: Path,
) -> UUID:
    """Make a reader in *folder*: a key, a person, and attributes that count.

    *registrar* is the registrar's private key in PEM; *custody* and *authority* are
    the sockets of the two desks. Who holds the registrar's key decides who reads.

    Raises:
        ConfigError: there is a reader in *folder* already.
        DeskRefusedError: custody refuses, for the word that it carries.
    """
    _empty(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    spki = signing.spki(key.public_key())
    added = await desk.call(custody, "person.add", {"subject": subject})
    person = UUID(str(added["person"]))
    signer = _key(registrar)
    signature = grantorder.sign(signer, str(person), attributes, spki, 1)
    order = {
        "person": str(person),
        "number": 1,
        "attributes": list(attributes),
        "spki": spki,
        "registrar": sha256(signing.spki(signer.public_key())).digest(),
        "signature": signature,
    }
    await desk.call(custody, "person.attributes", order)
    pins = await desk.call(authority, "pins", {})
    files.create(folder / KEY, signing.private_pem(key))
    card = {
        "person": str(person),
        "subject": subject,
        "mpk": pins["mpk"],
        "authority": pins["authority"],
        "issuance": 0,
    }
    files.create(folder / CARD, cbor.encode(card))
    return person


class Person:
    """An enrolled reader."""

    def __init__(self, folder: Path, custody: Path, authority: Path) -> None:
        """Read *folder*, made by ``enrol``.

        Raises:
            ConfigError: there is no reader there.
        """
        if not (folder / CARD).exists():
            raise ConfigError(f"{folder} holds no reader; see `sealward enrol reader`")
        card = cbor.decode((folder / CARD).read_bytes())
        if not isinstance(card, dict):
            raise ConfigError(f"{folder}/{CARD} is damaged")
        self._folder = folder
        self._card = card
        self._custody = custody
        self._authority = authority
        self._key = _key(folder / KEY)
        self.person = str(card["person"])
        self.subject = str(card["subject"])

    def _signed(self, *items: object) -> bytes:
        return signing.sign(self._key, cbor.encode(list(items)))

    async def fetch_key(
        self, kem: Kem, first: int, last: int, now: datetime
    ) -> AttributeKey:
        """Return an attribute key for the epochs *first* to *last* that may be had.

        Raises:
            DeskRefusedError: the authority refuses, for the word that it carries.
            PackageError: the answer is not the authority's, or an old one.
        """
        at = int(now.timestamp() * 1000)
        asked = {
            "person": self.person,
            "first": first,
            "last": last,
            "at": at,
            "signature": self._signed("sealward/1 key", self.person, first, last, at),
        }
        answer: Answer = await desk.call(self._authority, "key.grant", asked)
        opened = package.read(
            answer["package"],
            self.person,
            self._key,
            [self._card["authority"]],
            self._card["issuance"],
        )
        self._card["issuance"] = opened.issuance
        files.replace(self._folder / CARD, cbor.encode(self._card))
        key = AttributeKey.decode(opened.keys[0])
        if key.mpk != self._card["mpk"]:
            raise package.PackageError("the key belongs to another authority")
        check_key(kem, key)
        return key

    async def fetch_salts(
        self, patient: UUID, first: int, last: int, now: datetime
    ) -> dict[int, bytes]:
        """Return *patient*'s day salts for the epochs *first* to *last*, by epoch.

        Raises:
            DeskRefusedError: custody refuses: the attributes do not satisfy the
                policy, or the days are not to be had.
        """
        at = int(now.timestamp() * 1000)
        asked = {
            "person": self.person,
            "patient": str(patient),
            "first": first,
            "last": last,
            "at": at,
            "signature": self._signed(
                "sealward/1 salts", self.person, str(patient), first, last, at
            ),
        }
        answer: Answer = await desk.call(self._custody, "salt.read", asked)
        salts: dict[int, bytes] = dict(answer["salts"])
        return salts
