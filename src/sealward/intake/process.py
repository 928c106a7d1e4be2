"""The door's process: admit, store, hand on, acknowledge, receipt; in that order.

Nothing is acknowledged before it is committed, and nothing is receipted that is not
stored. PostgreSQL away: nothing is pulled, the stream buffers, spools hold.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Event

from sealward import clock
from sealward.config import Broker, Custody, Intake
from sealward.custody.credentials import UnknownAliasError
from sealward.errors import RefusalError, UnavailableError
from sealward.intake.door import DAY, Admitted, Door, ReplayedError, Sender
from sealward.intake.marks import Mark
from sealward.intake.pull import Owed, Sorted
from sealward.intake.receipts import Receipts
from sealward.intake.refused import Refused
from sealward.intake.store import Storeroom, key_packed, number
from sealward.intake.strangers import Strangers
from sealward.metrics import Metrics
from sealward.records import registry
from sealward.records.database import ConflictingError, Connection, connect
from sealward.records.ingest import UnpartitionedError
from sealward.seal import envelope
from sealward.seal.envelope import NAMES, Kind
from sealward.wire import bus, desk, live, topics
from sealward.wire.bus import Bus
from sealward.wire.nkey import NKey
from sealward.wire.telemetry import Delivery, Ingress
from sealward.wire.tls import Identity

log = logging.getLogger(__name__)
NOTICE = 0.25  # seconds of one wait for a notice
RELOAD = 30.0  # seconds between readings of the registry, beside its notices
PAUSE = 0.5  # seconds before PostgreSQL or the broker is tried again
RECEIPT_MS = 1000  # between two receipts of one alias
HALF_WINDOW = 10  # packets; a gateway has 20 unreceipted ones under way
TIDY = 5.0  # seconds between flushes of marks and of refusals
OVER = timedelta(days=2)  # for which a credential that is over is refused as such
SINCE = 3  # days back for which marks are counted at the start


class RefusedRowError(RefusalError):
    """The database itself would not take the packet's row."""

    reason = "row"


class UndayedError(RefusalError):
    """The day has no partition yet; it will have one, so the sender tries again."""

    reason = "undayed"


class Process:
    """Intake at work, for all partitions."""

    def __init__(  # noqa: PLR0913, PLR0917 - what the door is made of
        self,
        config: Intake,
        database: str,
        bus: Bus,
        receipts: Receipts,
        metrics: Metrics,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._config = config
        self._database = database
        self._bus = bus
        self._receipts = receipts
        self._metrics = metrics
        self._now = now
        self._door = Door()
        self._store = Storeroom(database)
        self._refused = Refused(metrics)
        self._receipted: dict[Owed, tuple[int, int]] = {}
        self._owed: set[Owed] = set()
        self._ended = Event()
        self._strangers = Strangers()

    def _ms(self) -> int:
        return int(self._now().timestamp() * 1000)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._until_there(self._learn)
        await self._until_there(self._count_marks)
        follow = asyncio.create_task(asyncio.to_thread(self._follow_registry))
        try:
            await self._work()
        finally:
            self._ended.set()
            await follow

    async def _work(self) -> None:
        """Pull, receipt and tidy until cancelled."""
        async with Ingress(self._bus) as ingress, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tidy())
            tasks.create_task(self._acknowledge_on_time())
            tasks.create_task(self._pull(ingress))

    async def _until_there(self, act: Callable[[], None]) -> None:
        """Do *act* in a thread, again until PostgreSQL answers."""
        while True:
            try:
                await asyncio.to_thread(act)
            except UnavailableError as error:
                self._metrics.add("unavailable", service="database")
                log.warning("waiting for=database reason=%s", error.reason)
                await asyncio.sleep(PAUSE)
            else:
                return

    def _learn(self) -> None:
        self._door.learn(self._store.credentials(self._now() - OVER))

    def _count_marks(self) -> None:
        """Rebuild the marks from what is stored, exactly."""
        today = self._ms() // DAY
        by_cred = {each.cred: each for each in self._door.senders()}
        for (cred, epoch), upto in self._store.marks(today - SINCE).items():
            if cred in by_cred and upto:
                digest = self._store.digest(cred, upto - 1, epoch)
                by_cred[cred].marks[epoch] = Mark(upto, digest)

    def _follow_registry(self) -> None:
        """Read the registry anew at each notice of it, and every half minute."""
        while not self._ended.is_set():
            try:
                with connect(self._database) as connection:
                    registry.listen(connection)
                    self._listen(connection)
            except UnavailableError:
                self._metrics.add("unavailable", service="database")
                self._ended.wait(PAUSE)

    def _listen(self, connection: Connection) -> None:
        """Read the registry now, at each notice and every half minute."""
        due = 0.0
        while not self._ended.is_set():
            if time.monotonic() >= due:
                since = self._now() - OVER
                self._door.learn(registry.credentials_live(connection, since))
                due = time.monotonic() + RELOAD
            for _ in registry.notifications(connection, NOTICE):
                due = 0.0

    # --- packets ---------------------------------------------------------------

    async def _pull(self, ingress: Ingress) -> None:
        wait = self._config.wait_ms / 1000
        while True:
            try:
                deliveries = await ingress.batch(self._config.batch, wait)
                if deliveries:
                    await self._take(deliveries)
            except UnavailableError as error:
                # What was pulled is not acknowledged: the stream gives it again.
                self._metrics.add("unavailable", service="stream")
                log.warning("waiting for=database,broker reason=%s", error.reason)
                await asyncio.sleep(PAUSE)

    async def _take(self, deliveries: Sequence[Delivery]) -> None:
        """Admit, store, hand on, acknowledge and receipt one pull."""
        now = self._ms()
        sorted_ = await asyncio.to_thread(self._admit, deliveries, now)
        fresh: list[Admitted] = []
        if sorted_.admitted:
            fresh = await asyncio.to_thread(self._keep, sorted_, now)
        for each in fresh:
            with suppress(UnavailableError):  # readers ask the database as well
                await live.publish(
                    self._bus, topics.Alias(each.sender.alias), each.body
                )
        for delivery in sorted_.theirs.values():
            await delivery.ack()
        for delivery in sorted_.repeated:
            self._count(delivery, ReplayedError.reason)
            await delivery.ack()
        for delivery, error in sorted_.refused:
            await self._refuse(delivery, error, now)
            await delivery.term()
        await self._receipt(sorted_.owed, now)

    def _admit(self, deliveries: Sequence[Delivery], now: int) -> Sorted:
        """Ask the door of each of *deliveries*."""
        result = Sorted()
        for delivery in deliveries:
            try:
                admitted = self._admit_one(delivery, now)
                if admitted.packet.kind == Kind.KEY:
                    key_packed(admitted, now)  # its form is checked before its storing
            except ReplayedError:
                result.repeat(delivery)
            except RefusalError as error:
                result.refused.append((delivery, error))
            else:
                name = number(admitted)
                if name in result.theirs:
                    result.twice(name, delivery)
                    continue
                result.admitted.append(admitted)
                result.theirs[name] = delivery
                self._metrics.add("packets_admitted", kind=delivery.kind_name)
        return result

    def _admit_one(self, delivery: Delivery, now: int) -> Admitted:
        """Ask the door of *delivery*; of a stranger, once more after a look."""
        packet = (delivery.alias, delivery.kind_name, delivery.body, now)
        try:
            return self._door.admit(*packet)
        except UnknownAliasError:
            if not self._strangers.worth_asking(delivery.alias, now):
                raise
            self._learn()
            return self._door.admit(*packet)

    def _keep(self, sorted_: Sorted, now: int) -> list[Admitted]:
        """Store what was admitted, mark it, and return what is new of it."""
        outcome = self._store.store(sorted_.admitted, now)
        fresh = []
        for each in sorted_.admitted:
            name = number(each)
            if word := outcome.refused.get(name):
                delivery = sorted_.theirs.pop(name)
                sorted_.refused.append((delivery, _as_error(word)))
                continue
            mark = each.sender.mark(each.packet.epoch)
            mark.stored(each.packet.seq, each.body)
            sorted_.owed.add((each.sender.alias, each.packet.epoch))
            if name in outcome.existing:
                sorted_.repeated.append(sorted_.theirs.pop(name))
            else:
                fresh.append(each)
                self._metrics.add("packets_stored", kind=NAMES[each.packet.kind])
                self._metrics.add("packets_backlog", int(not each.live))
                self._metrics.add("bytes_stored", len(each.body))
        return fresh

    async def _refuse(self, delivery: Delivery, error: RefusalError, now: int) -> None:
        """Count a refused packet and, where the sender's key signed it, tell him.

        A gateway holds back what was refused for good, so what anybody could have
        put under its alias, or on another of its topics, must name no packet of his.
        """
        sender = self._count(delivery, error.reason)
        if sender is None:
            return
        try:
            packet = envelope.read(delivery.body)
            envelope.place(packet, delivery.kind_name)
            envelope.verify(packet, sender.alias, sender.public)
        except RefusalError:
            return
        word = self._receipts.refusal(
            sender.alias, packet.epoch, packet.seq, error, now
        )
        await self._say(sender.alias, word)

    def _count(self, delivery: Delivery, reason: str) -> Sender | None:
        """Count that *delivery* was refused for *reason*; return whose it is."""
        sender = self._door.sender(delivery.alias)
        self._refused.add(sender.cred if sender else 0, reason, delivery.body)
        return sender

    # --- receipts ----------------------------------------------------------------

    async def _receipt(self, owed: set[Owed], now: int) -> None:
        """Send a receipt to each of *owed* who waits for one.

        At most once a second and alias, but at once where half of a gateway's window
        is unreceipted: a backlog goes at the pace of its receipts.
        """
        for owing in owed:
            alias, epoch = owing
            sender = self._door.sender(alias)
            if sender is None:
                continue
            mark = sender.mark(epoch)
            sent, known = self._receipted.get(owing, (0, 0))
            if now - sent < RECEIPT_MS and mark.count - known < HALF_WINDOW:
                self._owed.add(owing)
                continue
            if mark.upto and not mark.digest:
                mark.digest = await asyncio.to_thread(
                    self._store.digest, sender.cred, mark.upto - 1, epoch
                )
            self._receipted[owing] = (now, mark.count)
            self._owed.discard(owing)
            await self._say(alias, self._receipts.receipt(sender, epoch, mark, now))

    async def _acknowledge_on_time(self) -> None:
        """Send the receipts that the limit of one a second has put off."""
        while True:
            await asyncio.sleep(0.25)
            try:
                await self._receipt(set(self._owed), self._ms())
            except UnavailableError:
                self._metrics.add("unavailable", service="database")

    async def _say(self, alias: str, word: bytes) -> None:
        """Publish a receipt or refusal; a lost one is covered by the next."""
        subject = topics.command_subject(topics.Alias(alias), "receipt")
        with suppress(UnavailableError):
            await self._bus.publish(subject, word)

    # --- upkeep --------------------------------------------------------------------

    async def _tidy(self) -> None:
        """Keep marks and refusals in the database, and the counters in their file."""
        while True:
            self._metrics.write(self._config.folder / "metrics.prom")
            await asyncio.sleep(1)
            if self._ms() // 1000 % int(TIDY) == 0:
                await self.flush()

    async def flush(self) -> None:
        """Write what is only in memory to the database, if it answers."""
        refused = self._refused.take()
        marks = {
            (sender.cred, epoch): (mark.upto, mark.digest)
            for sender in self._door.senders()
            for epoch, mark in sender.marks.items()
            if mark.upto and mark.digest
        }
        try:
            if refused:
                await asyncio.to_thread(self._store.refused, self._ms() // DAY, refused)
            await asyncio.to_thread(self._store.receipts, marks)
        except UnavailableError:
            self._refused.put_back(refused)

    async def close(self) -> None:
        """Flush, write the counters and close the connection."""
        await self.flush()
        self._metrics.write(self._config.folder / "metrics.prom")
        self._store.close()


def _as_error(word: str) -> RefusalError:
    """Return the refusal that the database's *word* stands for."""
    if word == UnpartitionedError.reason:
        return UndayedError("the day has no partition yet")
    if word == ConflictingError.reason:
        return ConflictingError("other bytes are stored under this number")
    return RefusedRowError(f"the database refuses the row: {word}")


async def start(
    config: Intake,
    broker: Broker,
    custody: Custody,
    database: str,
    now: Callable[[], datetime] = clock.now,
) -> None:
    """Have custody certify the receipt keys, then work until cancelled."""
    receipts = Receipts(config.folder)
    asked = {"keys": receipts.public()}
    while True:
        try:
            await desk.call(custody.socket, "receipt.certify", asked)
        except UnavailableError as error:
            log.warning("waiting for=custody reason=%s", error.reason)
            await asyncio.sleep(PAUSE)
        else:
            break
    folder = config.folder
    identity = Identity(
        certificate=folder / "tls.pem",
        key=folder / "tls.key",
        authority=folder / "service-ca.pem",
    )
    seed = NKey.load(folder / "nats.seed")
    async with await bus.connect(
        broker.service, identity, seed, name="intake"
    ) as connection:
        process = Process(config, database, connection, receipts, Metrics(), now)
        try:
            await process.run()
        finally:
            await process.close()
