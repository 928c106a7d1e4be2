"""A reader at work: what is admitted now, over the broker; what was, from the database.

The live subject is an accelerator and the database the truth: it is asked at the
start, at a hole in the numbers, and every half minute.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sealward import clock
from sealward.analyst.person import Person
from sealward.analyst.pins import Devices
from sealward.analyst.reading import Beds, Closed, Opened
from sealward.errors import RefusalError, UnavailableError
from sealward.metrics import Metrics
from sealward.packet.profile import BED_1, ICU_1
from sealward.records import packets, registry
from sealward.records.registry import Bed
from sealward.records.session import Session
from sealward.seal.curve import Hybrid
from sealward.seal.kem import Kem
from sealward.wire import live
from sealward.wire.bus import Bus
from sealward.wire.desk import DeskRefusedError
from sealward.wire.topics import Alias

if TYPE_CHECKING:
    from uuid import UUID


log = logging.getLogger(__name__)
AGAIN = 30.0  # seconds between looks into the database for what was missed
BEDS = 1.0  # seconds between looks for beds that are new
PAUSE = 0.5  # seconds before an absent service is asked again
DAY_SECONDS = 86_400


@dataclass(slots=True)
class Numbers:
    """Which packets of one credential's day have been told of: a few bytes in all."""

    upto: int = 0  # all below it
    beyond: set[int] = field(default_factory=set)

    def add(self, seq: int) -> None:
        """Take *seq* as told of."""
        if seq >= self.upto:
            self.beyond.add(seq)
        while self.upto in self.beyond:
            self.beyond.remove(self.upto)
            self.upto += 1

    def __contains__(self, seq: int) -> bool:
        """Return whether *seq* has been told of."""
        return seq < self.upto or seq in self.beyond


@dataclass(frozen=True, slots=True)
class SaltRefused:
    """Custody does not give this reader a patient's day salts."""

    patient: str  # the display pseudonym
    word: str
    why: str


Told = Opened | Closed | SaltRefused


class Reader:
    """One person reading, with his own keys."""

    def __init__(  # noqa: PLR0913 - who reads, from where, and who hears of it
        self,
        person: Person,
        database: str,
        tell: Callable[[Told], None],
        *,
        salts_as: Person | None = None,
        metrics: Metrics | None = None,
        folder: Path | None = None,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        """Read as *person*; each packet opened or found closed is told to *tell*.

        With *salts_as* the day salts are another's, who passes them on: what then
        still does not open stays closed by mathematics, not by custody's refusal.
        """
        self._person = person
        self._salts_as = salts_as
        self._session = Session(database)
        self._tell = tell
        self._now = now
        self._metrics = metrics or Metrics()
        self._folder = folder
        self._kem = Kem(Hybrid())
        self._beds = Beds(self._kem, (BED_1, ICU_1), Devices(folder))
        self._done: dict[tuple[int, int], Numbers] = {}  # by (cred, epoch)
        self._lost: set[Bed] = set()
        self._key_day = -1
        self._refused: set[tuple[UUID, int]] = set()

    def _today(self) -> int:
        return int(self._now().timestamp()) // DAY_SECONDS

    # --- keys -----------------------------------------------------------------

    async def fetch_key(self, days: int = 1) -> None:
        """Have the authority grant a key for today and the *days* - 1 before."""
        today = self._today()
        key = await self._person.fetch_key(
            self._kem, today - days + 1, today, self._now()
        )
        self._key_day = today
        self._beds.hold(key)

    async def _salts(self, bed: Bed, first: int, last: int) -> None:
        """Fetch *bed*'s day salts, from custody or from who passes them on."""
        patient = bed.patient_id
        if not self._beds.lacks_salt(patient, last):
            return
        if (patient, last) not in self._refused:
            await self._salts_of(self._person, bed, first, last)
        if self._salts_as is not None and self._beds.lacks_salt(patient, last):
            await self._salts_of(self._salts_as, bed, first, last)

    async def _salts_of(self, who: Person, bed: Bed, first: int, last: int) -> None:
        """Ask custody as *who*; a refusal is told once a patient and day."""
        try:
            salts = await who.fetch_salts(bed.patient_id, first, last, self._now())
        except DeskRefusedError as error:
            self._metrics.add("salts_refused", reason=error.word)
            if who is self._person:
                self._refused.add((bed.patient_id, last))
                self._tell(SaltRefused(bed.pseudonym, error.word, str(error)))
        else:
            self._beds.salt(bed.patient_id, salts)

    # --- beds -------------------------------------------------------------------

    async def learn(
        self, since: int | None = None, patient: str | None = None
    ) -> list[Bed]:
        """Return the beds that are new, and get what is needed to open their packets.

        With *patient*, a display pseudonym, only that patient's: custody writes an
        audit row for each whose salts are asked.
        """
        first = self._today() - 1 if since is None else since
        beds = await asyncio.to_thread(
            self._session.run,
            lambda conn: registry.beds(conn, since_epoch=first),
        )
        wanted = [bed for bed in beds if patient in (None, bed.pseudonym)]
        new = self._beds.learn(wanted)
        if since is not None:
            for bed in new:
                await self._salts(bed, max(since, bed.epoch), self._today())
        return new

    def _records(self, beds: list[Bed], first: int) -> None:
        """Open the key records of *beds* from epoch *first* on."""
        by_cred = {bed.cred: bed for bed in beds}
        epochs = range(first, self._today() + 2)
        records = self._session.run(
            lambda conn: list(packets.key_records(conn, list(by_cred), list(epochs)))
        )
        for found in records:
            take = partial(self._beds.take_record, by_cred[found.cred], found.body)
            self._guarded(take)

    def _guarded(self, act: Callable[[], object]) -> None:
        """Do *act*; count what the server gave us that no gateway has signed."""
        try:
            act()
        except RefusalError as error:
            self._metrics.add("packets_refused", reason=error.reason)
            log.warning("refused reason=%s", error.reason)

    # --- packets ------------------------------------------------------------------

    def take(self, bed: Bed, body: bytes) -> None:
        """Open one packet of *bed* and tell of it, once."""

        def act() -> None:
            result = self._beds.open(bed, body)
            packet = result.packet
            done = self._done.setdefault((bed.cred, packet.epoch), Numbers())
            if packet.seq in done:
                return
            if packet.seq and packet.seq - 1 not in done:
                self._lost.add(bed)
            if isinstance(result, Closed) and self._may_open(result):
                self._lost.add(bed)  # it is tried again from the database
                return
            done.add(packet.seq)
            self._metrics.add(
                "packets_opened" if isinstance(result, Opened) else "packets_closed"
            )
            self._tell(result)

        self._guarded(act)

    def _may_open(self, closed: Closed) -> bool:
        """Return whether what *closed* lacks is under way: record, salt or key."""
        epoch, reason = closed.packet.epoch, closed.error.reason
        if reason == "salt":
            return (closed.bed.patient_id, epoch) not in self._refused
        return reason == "recordless" or (
            reason != "stranger" and epoch > self._key_day
        )

    def history(self, beds: list[Bed], first: int) -> Iterator[None]:
        """Open what the database holds of *beds* from epoch *first* on, in order."""
        self._records(beds, first)
        by_cred = {bed.cred: bed for bed in beds}
        after = {
            where: done.upto - 1
            for where, done in self._done.items()
            if where[0] in by_cred
        }
        found = self._session.run(
            lambda conn: list(packets.packets(conn, list(by_cred), after))
        )
        for packet in found:
            if packet.epoch >= first:
                self.take(by_cred[packet.cred], packet.body)
            yield

    async def _catch_up(self, beds: list[Bed], first: int) -> None:
        """Open what the database holds of *beds*, letting others have their turn."""
        for count, _ in enumerate(self.history(beds, first)):
            if count % 50 == 0:
                await asyncio.sleep(0)

    async def follow(self, bus: Bus) -> None:
        """Read live until cancelled."""
        await self._until_there(self.fetch_key)

        async def heard(alias: Alias, body: bytes) -> None:
            bed = self._beds.bed(alias)
            if bed is not None:
                self.take(bed, body)

        await live.subscribe(bus, None, heard)
        try:
            await self._look_for_ever()
        finally:
            self.close()

    async def _look_for_ever(self) -> None:
        """Look for what is new or was missed, every second, until cancelled."""
        looked = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self._look(loop.time() - looked > AGAIN)
                if loop.time() - looked > AGAIN:
                    looked = loop.time()
            except UnavailableError as error:
                log.warning("waiting reason=%s", error.reason)
            await asyncio.sleep(BEDS)

    def close(self) -> None:
        """Close the connection to the database."""
        self._session.close()

    async def _look(self, whole: bool) -> None:  # noqa: FBT001 - one caller, above
        """Learn new beds and days, and fetch what the live subject has missed."""
        today = self._today()
        if self._key_day != today:
            await self.fetch_key(2)
        new = await self.learn()
        for bed in self._beds.all():  # of a new day, or what custody could not give
            await self._salts(bed, min(bed.epoch, today), today)
        missed = list(self._lost | set(new))
        if whole:
            missed = self._beds.all()
        self._lost.clear()
        if missed:
            await self._catch_up(missed, today - 1)
        self._write()

    def _write(self) -> None:
        if self._folder is not None:
            self._metrics.write(self._folder / "metrics.prom")

    async def _until_there(self, act: Callable[[], object]) -> None:
        """Do the coroutine function *act*, again until its service answers."""
        while True:
            try:
                await act()  # type: ignore[misc] # a coroutine, as every caller gives
            except UnavailableError as error:
                log.warning("waiting for=authority reason=%s", error.reason)
                await asyncio.sleep(PAUSE)
            else:
                return
