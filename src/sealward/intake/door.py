"""Decide whether a sealed packet may enter the record, cheapest question first.

Nothing here can read a packet: this room may not import ``seal.opening``. A mark is
set after the commit, not here, so that a refusal or a lost commit uses up no number.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

from sealward.custody.credentials import (
    ExpiredError,
    RevokedError,
    UnknownAliasError,
)
from sealward.errors import RefusalError
from sealward.intake.marks import FURTHEST, Mark
from sealward.records.registry import Credential
from sealward.seal import envelope, signing
from sealward.seal.envelope import Envelope, Kind

AHEAD = 120_000  # ms by which a gateway's clock may lead ours
EVE = 6 * 3600_000  # ms before its day in which a key record may come
SLOT = 10_000  # ms
DAY = 86_400_000  # ms
LIVE = 300_000  # ms; with the pack's length, what is older is backlog
WORKER = frozenset({Kind.KEY, Kind.ROLLUP, Kind.BUNDLE, Kind.SEAL})


class EpochError(RefusalError):
    """The packet's day is neither the credential's nor the day after."""

    reason = "epoch"


class EarlyError(RefusalError):
    """The packet says that it was sealed in the future."""

    reason = "early"


class KindError(RefusalError):
    """The credential may not send packets of this kind."""

    reason = "kind"


class FarError(RefusalError):
    """The number lies further above the mark than an honest gateway gets."""

    reason = "far"


class ReplayedError(RefusalError):
    """The number has been stored before; the sender gets its receipt again."""

    reason = "replayed"


@dataclass(slots=True, kw_only=True)
class Sender:
    """A credential as the door needs it, its key parsed once."""

    cred: int
    alias: str
    epoch: int
    public: ec.EllipticCurvePublicKey
    opens: int  # ms since 1970
    closes: int
    revoked: bool
    worker: bool
    marks: dict[int, Mark] = field(default_factory=dict)

    @classmethod
    def of(cls, row: Credential) -> "Sender":
        """Make the sender of the registry's *row*."""
        return cls(
            cred=row.cred,
            alias=row.alias,
            epoch=row.epoch,
            public=signing.from_point65(row.pubkey65),
            opens=milliseconds(row.valid_from),
            closes=milliseconds(row.valid_to),
            revoked=row.revoked_at is not None,
            worker=row.profile == "worker",
        )

    def mark(self, epoch: int) -> Mark:
        """Return the mark of this credential's *epoch*."""
        mark = self.marks.get(epoch)
        if mark is None:
            mark = self.marks[epoch] = Mark()
        return mark


def milliseconds(at: datetime) -> int:
    """Return *at* in whole milliseconds since 1970."""
    return int(at.timestamp() * 1000)


@dataclass(slots=True)
class Admitted:
    """A packet that may be stored: whose it is, and its outside."""

    sender: Sender
    packet: Envelope
    body: bytes
    live: bool  # of the last minutes; what is older is history, and is stored as well


class Door:
    """The door: it knows every credential that counts, and asks nobody."""

    def __init__(self, pack_ms: int = 60_000) -> None:
        self._senders: dict[str, Sender] = {}
        self._live = LIVE + pack_ms

    def learn(self, rows: Iterable[Credential]) -> None:
        """Take the registry's *rows* in place of what was known; marks are kept."""
        fresh = {row.alias: Sender.of(row) for row in rows}
        for alias, sender in fresh.items():
            if known := self._senders.get(alias):
                sender.marks = known.marks
        self._senders = fresh

    def sender(self, alias: str) -> Sender | None:
        """Return who sends as *alias*, None if nobody does."""
        return self._senders.get(alias)

    def senders(self) -> list[Sender]:
        """Return everybody who sends."""
        return list(self._senders.values())

    def admit(self, alias: str, level: str, body: bytes, now: int) -> Admitted:
        """Return the packet *body* that came on *level* of *alias*'s topic.

        *now* is in ms since 1970. Nothing is checked by its signature before it has
        passed all that costs less.

        Raises:
            RefusalError: a leaf of it, whose reason is counted.
        """
        packet = envelope.read(body)
        envelope.place(packet, level)
        sender = self._senders.get(alias)
        if sender is None:
            raise UnknownAliasError("no such credential")
        if sender.revoked:
            raise RevokedError("the credential has been ended")
        if not sender.opens <= now < sender.closes:
            raise ExpiredError("the credential is not of these days")
        if sender.worker and packet.kind not in WORKER:
            raise KindError("a worker may not send this kind")
        age = self._age(sender, packet, now)
        mark = sender.mark(packet.epoch)
        if mark.knows(packet.seq):
            raise ReplayedError("stored before")
        if packet.seq >= mark.upto + FURTHEST:
            raise FarError("the number is out of reach")
        envelope.verify(packet, alias, sender.public)
        return Admitted(sender, packet, body, age <= self._live)

    @staticmethod
    def _age(sender: Sender, packet: Envelope, now: int) -> int:
        """Return how old *packet* is, in ms, if its day and time are possible."""
        epoch = packet.epoch
        if epoch not in (sender.epoch, sender.epoch + 1):
            raise EpochError("another day than the credential's or the next")
        begins = epoch * DAY
        age = now - begins - packet.slot * SLOT
        if now < begins:
            eve = now >= begins - EVE and packet.kind == Kind.KEY
            if not eve and now < begins - AHEAD:
                raise EpochError("that day has not begun")
            if eve:
                return 0
        if age < -AHEAD:
            raise EarlyError("sealed in the future; set the gateway's clock")
        return age
