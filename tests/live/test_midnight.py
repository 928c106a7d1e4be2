"""Across midnight an alias goes on for a day, with new secrets; then it ends."""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from tests.support import ledger
from tests.support.site import Ward, ward

from sealward import clock, config
from sealward.analyst.person import Person
from sealward.analyst.process import Reader, Told
from sealward.analyst.reading import Opened
from sealward.authority import process as authority
from sealward.bedside.credential import Keeper, LapsedError
from sealward.bedside.process import Gateway, Plan
from sealward.cli import acts
from sealward.custody.process import Process as Custody
from sealward.intake import process as intake
from sealward.packet.profile import BED_1
from sealward.seal.envelope import Kind
from sealward.vitals.reading import Reading, read
from sealward.wire import bus
from sealward.wire.nkey import NKey
from sealward.wire.tls import Identity

DAY = timedelta(days=1)
CLOSE = timedelta(seconds=45)  # to a real midnight, too close to begin


class LeapingClock:
    """The real time, and whatever was leapt ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        """Return the time."""
        return clock.now() + self.ahead

    def leap(self, to: datetime) -> None:
        """Let it be *to* now."""
        self.ahead += to - self()


class Finger:
    """A pulse, five times a second, by a clock of its own."""

    def __init__(self, now: LeapingClock) -> None:
        self._now = now

    async def __aiter__(self) -> AsyncIterator[Reading]:
        """Yield the pulse."""
        while True:
            yield read("hr", 70, at=self._now())
            await asyncio.sleep(0.2)


@pytest.fixture(scope="module")
def site() -> Iterator[Ward]:
    """Return a site whose processes run in this one, by a clock that leaps."""
    with ward() as made:
        made.site.launcher.stop(["intake", "custody", "authority"])
        yield made


async def eventually(what: object, seconds: float = 20) -> None:
    """Wait until *what*, called, is true."""
    async with asyncio.timeout(seconds):
        while not (callable(what) and what()):  # noqa: ASYNC110 - what others do
            await asyncio.sleep(0.05)


class Line:
    """The whole line in this process."""

    def __init__(self, site: Ward, now: LeapingClock) -> None:
        self.root = site.site.root
        self.now = now
        self.site = site
        self.told: list[Told] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.ended: ExceptionGroup[Exception] | None = None
        path = site.site.config
        self.custody = config.Custody.read(path)
        self.authority = config.Authority.read(path)
        self.broker = config.Broker.read(path)
        self.intake = config.Intake.read(path)

    def url(self, role: str) -> str:
        """Return how *role* reaches the database."""
        assert self.site.site.database is not None
        return self.site.site.database.url(role)

    async def start(self) -> asyncio.Task[None]:
        """Start everything; return the gateway's task."""
        custody = Custody(self.custody, self.url("custody"), self.now)
        grants = authority.run(self.authority, self.url("authority"), self.now)
        self.tasks += [
            asyncio.create_task(custody.run(self.broker.service)),
            asyncio.create_task(grants),
        ]
        desks = [self.custody.socket, self.authority.socket]
        await eventually(lambda: all(desk.exists() for desk in desks))
        door = intake.start(
            self.intake, self.broker, self.custody, self.url("intake"), self.now
        )
        self.tasks.append(asyncio.create_task(door))
        (patient,) = await self.site.site.enrol(1)
        settings = config.Bedside(folder=patient.gateway)
        keeper = Keeper(patient.gateway, self.custody.socket)
        gateway = Gateway(settings, self.broker, keeper, now=self.now)
        sending = asyncio.create_task(gateway.run([Plan(0, Finger(self.now), BED_1)]))
        await self._read()
        return sending

    async def _read(self) -> None:
        folder = await self.site.site.enrol_reader("nurse", "role:nurse", "ward:icu")
        person = Person(folder, self.custody.socket, self.authority.socket)
        reader = Reader(person, self.url("analyst"), self.told.append, now=self.now)
        service = self.root / "analyst"
        identity = Identity(
            certificate=service / "tls.pem",
            key=service / "tls.key",
            authority=service / "service-ca.pem",
        )
        seed = NKey.load(service / "nats.seed")
        connection = await bus.connect(
            self.broker.service, identity, seed, name="analyst"
        )
        self.connection = connection
        self.tasks.append(asyncio.create_task(reader.follow(connection)))

    async def stop(self) -> None:
        """Stop everything."""
        for task in self.tasks:
            task.cancel()
        for task in self.tasks:
            with suppress(asyncio.CancelledError):
                await task
        await self.connection.close()

    def opened(self, epoch: int, kind: Kind = Kind.VITALS) -> list[Opened]:
        """Return what the reader has opened of *epoch*."""
        return [
            told
            for told in self.told
            if isinstance(told, Opened)
            and (told.packet.epoch, told.packet.kind) == (epoch, kind)
        ]


async def across_midnight(site: Ward) -> Exception:
    """Live through two midnights; return what ended the gateway at the second."""
    now = LeapingClock()
    line = Line(site, now)
    sending = await line.start()
    epoch = (now() - datetime(1970, 1, 1, tzinfo=UTC)) // DAY
    try:
        await two_midnights(line, sending, epoch)
    finally:
        sending.cancel()
        await line.stop()
    assert line.ended is not None
    return line.ended


async def two_midnights(line: Line, sending: asyncio.Task[None], epoch: int) -> None:
    """Leap to the first midnight, then to the second."""
    now, midnight = line.now, datetime(1970, 1, 1, tzinfo=UTC) + (epoch + 1) * DAY
    await eventually(lambda: len(line.opened(epoch)) >= 2)
    now.leap(midnight - timedelta(seconds=3))
    await eventually(lambda: len(line.opened(epoch + 1)) >= 3)
    (first,) = {told.packet.kid for told in line.opened(epoch)}
    (second,) = {told.packet.kid for told in line.opened(epoch + 1)}
    assert first != second, "the content secret was not renewed"
    aliases = {told.bed.alias for told in line.told if isinstance(told, Opened)}
    assert len(aliases) == 1, "the alias goes on for one more day"
    assert [told.packet.seq for told in line.opened(epoch + 1, Kind.KEY)] == [0]
    for told in line.opened(epoch):
        assert all(at < midnight.timestamp() * 1000 for at, _, _ in told.values)
    for told in line.opened(epoch + 1):
        assert all(at >= midnight.timestamp() * 1000 for at, _, _ in told.values)

    now.leap(midnight + DAY)
    with pytest.raises(ExceptionGroup) as ended:
        await asyncio.wait_for(sending, 30)
    assert ended.group_contains(LapsedError)
    assert line.opened(epoch + 2) == []
    line.ended = ended.value
    assert_nothing_is_lost(line, epoch)


def assert_nothing_is_lost(line: Line, epoch: int) -> None:
    """Each day's numbers go from 0 without a hole, are stored once, and have opened.

    The pack that was open when the day of grace ended came too late: the spool has it.
    """
    found = ledger.look(line.site)
    found.check()
    too_late = found.expected() - found.stored.keys()
    assert too_late <= found.waiting
    assert len(too_late) <= 2
    assert {day for _, day, _ in too_late} <= {epoch + 1}
    assert {day for _, day in found.numbered} == {epoch, epoch + 1}
    opened = {
        (told.bed.alias, told.packet.epoch, told.packet.seq)
        for told in line.told
        if isinstance(told, Opened)
    }
    assert opened == found.stored.keys()


def test_two_midnights(site: Ward, capsys: pytest.CaptureFixture[str]) -> None:
    """The first renews secrets, and readers follow; the second ends in a clear stop.

    On the command line that is one word, what to do, and the exit status 1.
    """
    wait_out_a_real_midnight()
    lapsed = asyncio.run(across_midnight(site))
    capsys.readouterr()

    def bedside(_: argparse.Namespace) -> int:
        raise ExceptionGroup("two beds", [lapsed, lapsed])

    asked = argparse.Namespace(command="bedside")
    assert acts.run(asked, {"bedside": bedside}) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == ["sealward: lapsed: the credential serves its own day and the next"]


def wait_out_a_real_midnight() -> None:
    """Let the real day end first, where it would end during the test's beginning."""
    left = DAY - (clock.now() - datetime(1970, 1, 1, tzinfo=UTC)) % DAY
    if left < CLOSE:
        time.sleep(left.total_seconds() + 1)
