"""The gateway's process: read sensors, pack, seal, spool; send, and obey receipts.

What is sealed lies on the disk before it is sent, so a dead network costs nothing
and a dead process the readings of the pack that was open.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import SystemRandom

from sealward import clock
from sealward.bedside.bed import Bed, Sealed
from sealward.bedside.commands import Commands
from sealward.bedside.credential import Credential, Keeper, LapsedError
from sealward.bedside.sources.source import Source, refusals
from sealward.config import Bedside, Broker
from sealward.errors import RefusalError, UnavailableError
from sealward.metrics import Metrics
from sealward.packet.profile import Profile
from sealward.seal.envelope import NAMES, Kind
from sealward.wire import topics
from sealward.wire.mqtt import Uplink
from sealward.wire.spool import Spool
from sealward.wire.topics import Alias

log = logging.getLogger(__name__)
TICK = 0.05  # seconds between looks at what is due
PURGE = 60.0  # seconds between purges of what has been marked long enough
LINGER = 10.0  # seconds at shutdown for the last packets to be receipted
DAY = 86_400  # seconds
_LOTS = SystemRandom()


@dataclass(frozen=True, slots=True)
class Plan:
    """What one bed of the gateway is to do."""

    slot: int
    source: Source
    profile: Profile


class Gateway:
    """One gateway at work, with all its beds."""

    def __init__(  # noqa: PLR0913 - what a gateway is made of
        self,
        config: Bedside,
        broker: Broker,
        keeper: Keeper,
        *,
        metrics: Metrics | None = None,
        sealed: Callable[[Sealed], None] = lambda _: None,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._config = config
        self._broker = broker
        self._keeper = keeper
        self._metrics = metrics or Metrics()
        self._sealed = sealed
        self._now = now
        self._spool = Spool(config.folder / "spool.db", cap=config.spool_mib << 20)
        self._uplinks: dict[str, Uplink] = {}
        self._hold: dict[str, float] = {}  # loop time until which a bed's packs wait

    def _ms(self) -> int:
        return int(self._now().timestamp() * 1000)

    async def run(self, plans: Sequence[Plan]) -> None:
        """Serve *plans* until their sources end, the credential lapses or cancelled.

        Raises:
            LapsedError: a credential's day and its day of grace are over.
            DeskRefusedError: custody does not give a credential, for its word.
            RolledBackError, DigestError: the spool is an old copy; its alias has been
                given up, and the next start has a new one.
        """
        today = int(self._now().timestamp()) // DAY
        beds = []
        for plan in plans:
            credential = await self._credential(plan.slot, today)
            beds.append((plan, self._bed(credential, plan.profile)))
        upkeep = asyncio.create_task(self._upkeep())
        tasks = [upkeep]
        serving = asyncio.create_task(self._serve_all(beds))
        try:
            for _, bed in beds:
                tasks += await self._connect(bed.credential)
            # Who sends or keeps up works for ever: if one ends, it ends us, aloud.
            await asyncio.wait((serving, *tasks), return_when=asyncio.FIRST_COMPLETED)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await self._finish([bed for _, bed in beds])
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for uplink in self._uplinks.values():
                await uplink.close()
            self._spool.close()
        for task in (serving, *tasks):
            if not task.cancelled():
                task.result()

    async def _serve_all(self, beds: Sequence[tuple[Plan, Bed]]) -> None:
        """Serve *beds* until all their sources end, or one of them fails."""
        async with asyncio.TaskGroup() as tasks:
            for plan, bed in beds:
                tasks.create_task(self._serve(plan, bed))

    async def _credential(self, slot: int, epoch: int) -> Credential:
        """Return the bed's credential, waiting for custody if it must be asked."""
        while True:
            try:
                return await self._keeper.credential(slot, self._now(), epoch)
            except UnavailableError as error:
                log.warning("waiting for=custody reason=%s", error.reason)
                await asyncio.sleep(0.5)

    def _bed(self, credential: Credential, profile: Profile) -> Bed:
        return Bed(
            credential,
            self._keeper.idevid,
            profile,
            self._spool,
            self._metrics,
            credential.slip.pack_seconds * 1000,
            self._sealed,
        )

    # --- sensors ------------------------------------------------------------------

    async def _serve(self, plan: Plan, bed: Bed) -> None:
        """Read one bed's source into packs until it ends."""
        ticking = asyncio.create_task(self._tick(plan, bed))
        reading = asyncio.create_task(self._read(plan.source, bed))
        try:
            await asyncio.wait((ticking, reading), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ticking, reading):
                task.cancel()
            results = await asyncio.gather(ticking, reading, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _read(self, source: Source, bed: Bed) -> None:
        async for reading in source:
            bed.take(reading, int(self._now().timestamp() * 1_000_000_000))

    async def _tick(self, plan: Plan, bed: Bed) -> None:
        """Seal what is due, many times a second."""
        told: Counter[str] = Counter()
        length = bed.credential.slip.pack_seconds
        while True:
            await asyncio.sleep(TICK)
            for reason, count in (refusals(plan.source) - told).items():
                bed.refuse(reason, count)
                told[reason] += count
            if await asyncio.to_thread(bed.tick, self._now()):
                # Against the herd, and against a phase that would name the gateway.
                wait = _LOTS.uniform(0, length / 10)
                self._hold[bed.credential.alias] = (
                    asyncio.get_running_loop().time() + wait
                )

    # --- the network ----------------------------------------------------------------

    async def _connect(self, credential: Credential) -> list[asyncio.Task[None]]:
        """Connect as *credential*, and as its forerunners that still have packets."""
        tasks = [asyncio.create_task(self._send(credential, current=True))]
        for old in self._keeper.others(credential.slot, credential.alias):
            waiting = self._spool.window(Alias(old.alias), self._ms())
            if waiting and old.lasts(int(self._now().timestamp()) // DAY):
                tasks.append(asyncio.create_task(self._send(old, current=False)))
        return tasks

    async def _send(self, credential: Credential, *, current: bool) -> None:
        """Send what the spool has of *credential*'s alias, for ever.

        Raises:
            RolledBackError, DigestError: the *current* alias cannot go on.
        """
        renew = asyncio.Event()
        commands = Commands(credential, self._spool, self._metrics, renew.set)
        uplink = await Uplink.connect(
            self._broker.host,
            self._broker.port,
            credential.alias,
            credential.identity,
            pins=[credential.pins.broker],
            on_command=lambda topic, payload: commands.take(
                topic, payload, self._now()
            ),
        )
        self._uplinks[credential.alias] = uplink
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK)
            if current and commands.spoilt is not None:
                self._keeper.retire(credential)
                raise commands.spoilt
            if renew.is_set():
                renew.clear()
                await self._renew(credential)
            if uplink.connected and loop.time() >= self._hold.get(credential.alias, 0):
                await self._send_due(credential, uplink)

    async def _send_due(self, credential: Credential, uplink: Uplink) -> None:
        """Send once what is due of *credential*'s packets."""
        alias = Alias(credential.alias)
        rows = await asyncio.to_thread(self._spool.window, alias, self._ms())
        sent = []
        for row in rows:
            kind = NAMES[Kind(row.kind)]
            try:
                uplink.publish(topics.telemetry(alias, kind), row.body)
            except UnavailableError:
                break
            sent.append(row)
            self._metrics.add("packets_sent", kind=kind)
        self._spool.sent(sent, self._ms())

    async def _renew(self, credential: Credential) -> None:
        """Fetch the slip anew; if custody is away or refuses, go on as before."""
        try:
            await self._keeper.renew_slip(credential, self._now())
        except (UnavailableError, RefusalError) as error:
            self._metrics.add("slips_refused", reason=error.reason)
            log.warning("slip reason=%s", error.reason)

    # --- upkeep and end ---------------------------------------------------------------

    async def _upkeep(self) -> None:
        """Purge now and then; keep the counters in their file."""
        rounds = 0
        while True:
            await asyncio.to_thread(self._tell)
            await asyncio.sleep(1)
            rounds += 1
            if rounds % int(PURGE) == 0:
                await asyncio.to_thread(self._spool.purge, self._ms())
                if self._spool.full():
                    log.error("spool state=full")

    async def _finish(self, beds: Sequence[Bed]) -> None:
        """Seal what is open, and linger until it is receipted, or for ten seconds."""
        for bed in beds:
            try:
                await asyncio.to_thread(bed.close, self._now())
            except (LapsedError, UnavailableError) as error:
                log.warning("open pack is not sealed reason=%s", error.reason)
        self._hold.clear()
        loop = asyncio.get_running_loop()
        until = loop.time() + LINGER
        while loop.time() < until and self._waiting():  # noqa: ASYNC110 - on a disk
            await asyncio.sleep(TICK)
        self._tell()

    def _tell(self) -> None:
        """Write the counters, and what the spool holds, to their file."""
        for state, count in self._spool.states().items():
            self._metrics.set("spool", count, state=state)
        self._metrics.write(self._config.folder / "metrics.prom")

    def _waiting(self) -> int:
        """Return how many packets have not been receipted."""
        states = self._spool.states()
        return states["spooled"] + states["sent"]
