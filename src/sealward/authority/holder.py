"""A share holder: it keeps the master key and grants what a registrar has signed.

The registry's row is custody's to write, so it is no evidence here: an attribute
counts only with the signature of a registrar whose key lies in this folder, and only
if its number is not below one that was seen before.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec

from sealward import files
from sealward.custody import grants
from sealward.custody.credentials import epoch_of, midnight
from sealward.errors import ConfigError, RefusalError
from sealward.seal import cbor, granting, grantorder, package, signing
from sealward.seal.curve import Hybrid
from sealward.seal.kem import COIN, Kem

EVENING = timedelta(hours=18)  # from then on tomorrow is granted to those on duty


class RegistrarError(RefusalError):
    """The attributes bear no valid signature of a registrar that is known here."""

    reason = "registrar"


class OutdatedError(RefusalError):
    """The order is older than one that was seen before."""

    reason = "outdated"


class DaysError(RefusalError):
    """None of the days asked for may be granted now."""

    reason = "days"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A registrar's signed word on what a person is; the registry's newest."""

    person: UUID
    number: int
    attributes: tuple[str, ...]
    spki: bytes
    registrar: bytes  # SHA-256 of the registrar's SPKI
    signature: bytes


@dataclass(slots=True)
class Seen:
    """What the holder remembers of a person, in a file of its own."""

    number: int
    since: int  # the epoch in which the person was first granted anything
    issuance: int


def install(folder: Path) -> bytes:
    """Make a 1-of-1 authority in *folder*; return its public key (mpk, 96 B)."""
    files.folder(folder)
    if not (folder / "share").exists():
        alpha, mpk = granting.setup(Kem(Hybrid()), os.urandom(COIN))
        key = ec.generate_private_key(ec.SECP256R1())
        files.create(folder / "share", alpha.to_bytes(32, "big"))
        files.create(folder / "authority.key", signing.private_pem(key))
        files.create(folder / "mpk", mpk)
    return (folder / "mpk").read_bytes()


class Holder:
    """The one holder of a 1-of-1 authority: below ISVS level 2, and flagged so."""

    def __init__(self, folder: Path) -> None:
        """Read the share, the registrars' keys and what was seen, in *folder*.

        Raises:
            ConfigError: something of it is missing; ``install`` makes it.
        """
        if not (folder / "share").exists():
            raise ConfigError(f"{folder} holds no share; run authority --install")
        self._folder = folder
        self._lock = threading.Lock()  # grants run in threads; the file is one
        self._alpha = int.from_bytes((folder / "share").read_bytes(), "big")
        self.mpk = (folder / "mpk").read_bytes()
        self._kem = Kem(Hybrid())
        self._master = self._kem.master(self.mpk)
        self._key = signing.from_private_pem((folder / "authority.key").read_bytes())
        self.spki = signing.spki(self._key.public_key())
        self._registrars = {
            sha256(spki).digest(): signing.from_spki(spki)
            for spki in (
                path.read_bytes() for path in (folder / "registrars").glob("*.spki")
            )
        }

    def check(self, order: Order) -> None:
        """Refuse *order* unless a registrar signed it and it is the newest seen.

        Raises:
            RegistrarError, OutdatedError, UngrantableError: as named.
        """
        registrar = self._registrars.get(order.registrar)
        if registrar is None:
            raise RegistrarError("no registrar of that key is known here")
        try:
            grantorder.verify(
                registrar,
                str(order.person),
                order.attributes,
                order.spki,
                order.number,
                order.signature,
            )
        except RefusalError as error:
            raise RegistrarError("the registrar's signature does not hold") from error
        grants.check(order.attributes)
        seen = self._seen().get(str(order.person))
        if seen is not None and order.number < seen.number:
            raise OutdatedError("a newer order was seen before")

    def days(self, order: Order, first: int, last: int, now: datetime) -> list[int]:
        """Return the epochs from *first* to *last* that may be granted at *now*.

        They are days of the open month, not before the person was first granted
        anything, and not after today, or tomorrow from 18:00 UTC on.

        Raises:
            DaysError: there is none.
        """
        today = epoch_of(now)
        month = epoch_of(now.astimezone(UTC).replace(day=1))
        seen = self._seen().get(str(order.person))
        since = today if seen is None else seen.since
        latest = today + (now - midnight(today) >= EVENING)
        days = list(range(max(first, month, since), min(last, latest) + 1))
        if not days:
            raise DaysError("those days are not granted now")
        return days

    def grant(self, order: Order, days: Sequence[int], now: datetime) -> bytes:
        """Return *order*'s key for *days*, sealed to the person's key and signed.

        Only the holder of the key that the registrar signed opens it.
        """
        with self._lock:
            self.check(order)
            issuance = self._count(order, epoch_of(now))  # before anything is released
        dates = [f"t.day:{midnight(day).date().isoformat()}" for day in days]
        attributes = (*order.attributes, *dates)
        key = granting.grant(
            self._kem,
            self._alpha,
            attributes,
            os.urandom(COIN),
            person=str(order.person),
            issuance=issuance,
        )
        made = package.Package(
            person=str(order.person),
            issuance=issuance,
            keys=(key,),
            mpk=self.mpk,
            authorities=(self.spki,),
        )
        return package.make(
            made, self._master.id8, self._key, signing.from_spki(order.spki)
        )

    def _count(self, order: Order, today: int) -> int:
        """Remember *order* as its person's newest; return the issuance's number."""
        everybody = self._seen()
        seen = everybody.setdefault(str(order.person), Seen(order.number, today, 0))
        seen.number = order.number
        seen.issuance += 1
        self._remember(everybody)
        return seen.issuance

    def _seen(self) -> dict[str, Seen]:
        path = self._folder / "seen.cbor"
        if not path.exists():
            return {}
        damaged = ConfigError(f"{path} is damaged; restore it before granting")
        try:
            kept = cbor.decode(path.read_bytes())
        except RefusalError as error:
            raise damaged from error
        if not isinstance(kept, dict):
            raise damaged
        return {person: Seen(*values) for person, values in kept.items()}

    def _remember(self, everybody: dict[str, Seen]) -> None:
        table = {
            person: [seen.number, seen.since, seen.issuance]
            for person, seen in everybody.items()
        }
        files.replace(self._folder / "seen.cbor", cbor.encode(table))
