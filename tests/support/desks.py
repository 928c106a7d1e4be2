"""Custody's and the authority's desks within the test, under any clock."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.site import Ward

from sealward import clock, files
from sealward.authority.holder import Holder
from sealward.authority.process import Grants
from sealward.bedside.credential import Credential, Keeper
from sealward.custody.credentials import epoch_of, midnight
from sealward.custody.desk import Desk
from sealward.custody.slips import Slips
from sealward.errors import RefusalError
from sealward.records.session import Session, as_role
from sealward.seal import cbor, grantorder, signing
from sealward.wire.desk import Peer, serve

TODAY = epoch_of(clock.now())
NOBODY = Peer(uid=0, pid=0)


def key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def today_at(hours: float) -> datetime:
    """Return the instant that is *hours* after today's midnight, UTC."""
    return midnight(TODAY) + timedelta(hours=hours)


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.at = clock.now()

    def __call__(self) -> datetime:
        """Return the time it shows."""
        return self.at

    @property
    def ms(self) -> int:
        """The same in ms since 1970, as requests say it."""
        return int(self.at.astimezone(UTC).timestamp() * 1000)


class Desks:
    """Both desks of *site*, on its folders and its database, by one clock of ours."""

    def __init__(self, site: Ward) -> None:
        root, url = site.site.root, site.site.url
        self.root = root
        self.clock = Clock()
        self._sessions = [Session(as_role(url, r)) for r in ("custody", "authority")]
        custody, authority = self._sessions
        slips = Slips(root / "custody", 1)
        self.custody = Desk(root / "custody", custody, slips, self.clock)
        self.grants = Grants(Holder(root / "authority"), authority, self.clock)

    def close(self) -> None:
        """Let the database go."""
        for session in self._sessions:
            session.close()

    def custodys(self, verb: str, args: Mapping[str, object]) -> Mapping[str, object]:
        """Return custody's answer to *verb*."""
        return self.custody.answer(verb, args)

    def authoritys(self, verb: str, args: Mapping[str, object]) -> Mapping[str, object]:
        """Return the authority's answer to *verb*."""
        return asyncio.run(self.grants.answer(NOBODY, verb, args))

    async def enrol(self, uid: str, folder: Path) -> Credential:
        """Return the credential of a new gateway in *folder*, at our clock's time."""

        async def answer(
            _: Peer, verb: str, args: Mapping[str, object]
        ) -> Mapping[str, object]:
            return await asyncio.to_thread(self.custody.answer, verb, args)

        socket = files.folder(folder) / "d"
        served = await serve(socket, answer)
        try:
            keeper = Keeper(folder, socket)
            await keeper.attach(0, uid)
            now = self.clock.at
            return await keeper.credential(0, now, epoch_of(now))
        finally:
            await served.close()

    def word(self, verb: str, args: Mapping[str, object]) -> str:
        """Return the refusal's word of the desk that knows *verb*, or ``ok``."""
        ask = self.authoritys if verb in {"key.grant", "pins"} else self.custodys
        try:
            ask(verb, args)
        except RefusalError as error:
            return error.reason
        return "ok"


@dataclass
class Reader:
    """A person of whom a registrar has signed what he is; his key is at hand."""

    desks: Desks
    person: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=key)

    @classmethod
    def new(cls, desks: Desks, subject: str) -> "Reader":
        """Return a new person without attributes."""
        answer = desks.custodys("person.add", {"subject": subject})
        return cls(desks, str(answer["person"]))

    @property
    def spki(self) -> bytes:
        """His public key."""
        return signing.spki(self.key.public_key())

    def order(self, number: int, *attributes: str) -> dict[str, object]:
        """Return the registrar's order *number*, which gives him *attributes*."""
        registrar = registrar_of(self.desks.root)
        signature = grantorder.sign(
            registrar, self.person, attributes, self.spki, number
        )
        return {
            "person": self.person,
            "number": number,
            "attributes": list(attributes),
            "spki": self.spki,
            "registrar": sha256(signing.spki(registrar.public_key())).digest(),
            "signature": signature,
        }

    def asks_key(self, first: int, last: int) -> dict[str, object]:
        """Return his request for an attribute key, made at this moment."""
        at = self.desks.clock.ms
        words = ["sealward/1 key", self.person, first, last, at]
        return self._signed(words, first=first, last=last, at=at)

    def asks_salts(self, patient: UUID, first: int, last: int) -> dict[str, object]:
        """Return his request for *patient*'s day salts, made at this moment."""
        at = self.desks.clock.ms
        words = ["sealward/1 salts", self.person, str(patient), first, last, at]
        return self._signed(words, patient=str(patient), first=first, last=last, at=at)

    def _signed(self, words: list[object], **args: object) -> dict[str, object]:
        signature = signing.sign(self.key, cbor.encode(words))
        return {"person": self.person, "signature": signature, **args}


def registrar_of(root: Path) -> ec.EllipticCurvePrivateKey:
    """Return the registrar's key of the site in *root*."""
    return signing.from_private_pem((root / "registrar/registrar.key").read_bytes())
