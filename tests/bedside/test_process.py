"""A gateway's process goes on where it can, and where it cannot it ends aloud."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.backstage import (
    ALIAS,
    DAY,
    EPOCH,
    MIDNIGHT,
    Backstage,
    pulse,
    spooled,
)
from tests.support.house import Door, House, until
from tests.support.pki import pin

from sealward.bedside.credential import Credential, Keeper, LapsedError
from sealward.bedside.process import Gateway, Plan
from sealward.config import Bedside, Broker
from sealward.errors import UnavailableError
from sealward.metrics import Metrics
from sealward.packet.profile import BED_1
from sealward.seal.receipt import Receipt
from sealward.vitals.reading import Reading, read
from sealward.wire import bus, telemetry
from sealward.wire.spool import RolledBackError, Spool
from sealward.wire.telemetry import Ingress
from sealward.wire.topics import Alias

NOON = MIDNIGHT + DAY / 2
OLD = Alias("b" * 26)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a running broker with its stream."""
    house = House(tmp_path_factory.mktemp("house"))

    async def provisioned() -> None:
        async with await house.bus("prov") as prov:
            await telemetry.provision(prov)

    asyncio.run(provisioned())
    yield house
    house.broker.stop()


class SetClock:
    """A clock that stands where it was set."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        """Return the time."""
        return self.at


class Silent:
    """A sensor that nobody wears."""

    async def __aiter__(self) -> AsyncIterator[Reading]:
        """Yield nothing, for ever."""
        await asyncio.Event().wait()
        yield read("hr", 70, at=NOON)


class Pulse:
    """A pulse by a clock of its own, ten times a second."""

    def __init__(self, now: SetClock) -> None:
        self._now = now

    async def __aiter__(self) -> AsyncIterator[Reading]:
        """Yield the pulse."""
        while True:
            yield read("hr", 70, at=self._now())
            await asyncio.sleep(0.1)


class SettledKeeper(Keeper):
    """A keeper that has a credential, and for which custody is away."""

    def __init__(self, folder: Path, given: Credential) -> None:
        super().__init__(folder, folder / "nobody.sock")
        self.given = given
        self.older: list[Credential] = []
        self.absent = 0  # how often custody is not there at first
        self.retired: list[str] = []

    async def credential(self, slot: int, now: datetime, epoch: int) -> Credential:  # noqa: ARG002 - as the keeper's own
        """Return the credential, as soon as custody is there."""
        if self.absent:
            self.absent -= 1
            raise UnavailableError("custody is away")
        return self.given

    def others(self, slot: int, alias: str) -> list[Credential]:  # noqa: ARG002 - as above
        """Return the credentials of days before."""
        return self.older

    def retire(self, bed: Credential) -> None:
        """Take note."""
        self.retired.append(bed.alias)


class FullDiskKeeper(SettledKeeper):
    """A keeper whose folder takes no more files."""

    async def renew_slip(self, bed: Credential, now: datetime) -> None:  # noqa: ARG002 - as above
        """Fail as ``open`` does."""
        raise OSError(28, "No space left on device")


class Bedroom:
    """A gateway at work against a real broker, and what is behind it."""

    def __init__(
        self,
        house: House,
        folder: Path,
        keeper: type[SettledKeeper] = SettledKeeper,
    ) -> None:
        self.house = house
        self.stage = Backstage()
        self.now = SetClock()
        self.metrics = Metrics()
        self.folder = folder
        self.keeper = keeper(folder, self.credential(ALIAS))

    def credential(self, alias: str) -> Credential:
        """Return a credential of *alias* by which the broker lets it in."""
        made = self.stage.credential(alias=alias)
        made.identity = self.house.device(alias)
        made.pins = replace(made.pins, broker=pin(self.house.pki.server))
        return made

    def start(self, *sources: Silent | Pulse) -> asyncio.Task[None]:
        """Start the gateway with a bed for each of *sources*."""
        settings = Bedside(folder=self.folder)
        broker = Broker(port=self.house.broker.mqtt_port)
        gateway = Gateway(
            settings, broker, self.keeper, metrics=self.metrics, now=self.now
        )
        plans = [Plan(slot, source, BED_1) for slot, source in enumerate(sources)]
        return asyncio.create_task(gateway.run(plans))

    async def told(
        self, intake: bus.Bus, word: bytes, running: asyncio.Task[None]
    ) -> None:
        """Say *word* to the gateway until it has heard it, or has ended."""
        while not running.done():
            await intake.publish(f"cmd.{ALIAS}.receipt", word)
            await asyncio.wait((running,), timeout=0.2)
            if self.metrics.by("slips_refused", "reason"):
                return


async def ended(running: asyncio.Task[None]) -> None:
    """Stop the gateway."""
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def beyond() -> Receipt:
    """Return a receipt for more than this spool has ever made."""
    return Receipt(epoch=EPOCH, upto=9, server_ms=0, last=sha256(b"").digest())


def test_a_spool_that_was_put_back_ends_its_alias(house: House, tmp_path: Path) -> None:
    """Numbers that the server knows are not given out again: the next start renews."""

    async def run() -> None:
        room = Bedroom(house, tmp_path)
        async with Door(house) as door:
            running = room.start(Silent())
            word = room.stage.say(beyond())
            await room.told(await door.bus("intake"), word, running)
            with pytest.raises(RolledBackError):
                await running
        assert room.keeper.retired == [ALIAS]

    asyncio.run(asyncio.wait_for(run(), 30))


def test_who_can_send_no_more_ends_aloud(house: House, tmp_path: Path) -> None:
    """A sender that fails does not leave a gateway that only fills its disk."""

    async def run() -> None:
        room = Bedroom(house, tmp_path, FullDiskKeeper)
        async with Door(house) as door:
            running = room.start(Silent())
            stranger = Backstage().say(beyond())
            await room.told(await door.bus("intake"), stranger, running)
            with pytest.raises(OSError, match="No space left"):
                await running

    asyncio.run(asyncio.wait_for(run(), 30))


def test_without_custody_a_gateway_goes_on_by_its_old_slip(
    house: House, tmp_path: Path
) -> None:
    """A receipt by a key that only tomorrow's slip names costs nothing."""

    async def run() -> None:
        room = Bedroom(house, tmp_path)
        async with Door(house) as door:
            running = room.start(Silent())
            stranger = Backstage().say(beyond())
            await room.told(await door.bus("intake"), stranger, running)
            assert room.metrics.by("slips_refused", "reason") == {"unavailable": 1}
            assert not running.done()
            await ended(running)

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_gateway_waits_for_custody_at_its_first_start(
    house: House, tmp_path: Path
) -> None:
    """New slips wait: it seals as soon as it has one."""

    async def run() -> None:
        room = Bedroom(house, tmp_path)
        room.keeper.absent = 2
        async with Door(house):
            running = room.start(Silent())
            await until(lambda: not room.keeper.absent)
            assert not running.done()
            await ended(running)

    asyncio.run(asyncio.wait_for(run(), 30))


def test_two_beds_lapse_with_one_word(house: House, tmp_path: Path) -> None:
    """After the day of grace the gateway stops, and says why."""

    async def run() -> None:
        room = Bedroom(house, tmp_path)
        room.now.at = MIDNIGHT + 2 * DAY
        async with Door(house):
            running = room.start(Pulse(room.now), Pulse(room.now))
            await asyncio.sleep(0.3)
            room.now.at += timedelta(seconds=2)
            with pytest.raises(ExceptionGroup) as found:
                await running
        assert found.group_contains(LapsedError)
        assert spooled(tmp_path / "spool.db") == []

    asyncio.run(asyncio.wait_for(run(), 30))


def test_what_waits_under_an_older_alias_is_sent_under_it(
    house: House, tmp_path: Path
) -> None:
    """Yesterday's spool drains over a connection of its own."""

    async def run() -> None:
        room = Bedroom(house, tmp_path)
        older = room.credential(OLD)
        with Spool(tmp_path / "spool.db") as spool:
            bed = room.stage.bed(spool, older)
            pulse(bed, NOON - timedelta(minutes=1))
            bed.tick(NOON)
        room.keeper.older = [older]
        async with Door(house) as door:
            running = room.start(Silent())
            ingress, seen = Ingress(await door.bus("intake")), list[tuple[str, str]]()
            while len(seen) < 2:
                for delivery in await ingress.batch(10, 0.1):
                    seen.append((delivery.alias, delivery.kind_name))
                    await delivery.ack()
            assert seen == [(OLD, "key"), (OLD, "vitals")]
            rows = spooled(tmp_path / "spool.db")
            last = sha256(rows[-1].body).digest()
            word = Receipt(epoch=EPOCH, upto=2, server_ms=0, last=last)
            intake = await door.bus("intake")
            await intake.publish(f"cmd.{OLD}.receipt", room.stage.say(word, OLD))
            await until(lambda: room.metrics.get("packets_receipted") == 2)
            await ended(running)

    asyncio.run(asyncio.wait_for(run(), 30))
