"""Whatever is an async iterator of readings is a source, and sources add up."""

import asyncio
import runpy
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sealward.bedside.sources.source import DEPTH, Source, attempt, merge, refusals
from sealward.vitals.reading import Reading

EXAMPLES = Path(__file__).parents[2] / "examples"
NOON = 1_784_894_400 * 10**9  # ns; 2026-07-24T12:00Z


async def gathered(source: Source, most: int | None = None) -> list[Reading]:
    """Return the first *most* readings of *source*, or all."""
    readings = []
    async for reading in source:
        readings.append(reading)
        if len(readings) == most:
            break
    return readings


class Script:
    """A sensor that gives the *values* of one vital, a turn of the loop each."""

    def __init__(self, vital: str, *values: str) -> None:
        self.refusals: Counter[str] = Counter()
        self._vital = vital
        self._values = values

    async def __aiter__(self) -> AsyncIterator[Reading]:
        """Yield what may enter."""
        for second, value in enumerate(self._values):
            await asyncio.sleep(0)
            at = NOON + second * 10**9
            if reading := attempt(self.refusals, self._vital, value, at=at):
                yield reading


class Mute:
    """A sensor that never gives anything, and knows when it was closed."""

    closed = False

    async def __aiter__(self) -> AsyncIterator[Reading]:
        """Wait for ever."""
        try:
            await asyncio.Event().wait()
        finally:
            self.closed = True
        yield Reading(vital="hr", at=NOON, value=60.0)


class Torrent:
    """A sensor that never waits, and counts what it was asked for."""

    given = 0

    async def __aiter__(self) -> AsyncIterator[Reading]:
        """Yield without end."""
        while True:
            self.given += 1
            yield Reading(vital="hr", at=NOON, value=60.0)


class BrokenCableError(Exception):
    """What a driver raises when its device is gone."""


class Broken:
    """A sensor whose cable breaks after one reading."""

    async def __aiter__(self) -> AsyncIterator[Reading]:
        """Yield once, then fail."""
        yield Reading(vital="hr", at=NOON, value=60.0)
        raise BrokenCableError


def test_merged_sources_lose_nothing_and_keep_each_order() -> None:
    """Several sensors at one bed are one source."""
    merged = merge(Script("hr", "60", "61", "62"), Script("spo2", "97", "98"))
    readings = asyncio.run(gathered(merged))
    assert [float(r.value) for r in readings if r.vital == "hr"] == [60, 61, 62]
    assert [float(r.value) for r in readings if r.vital == "spo2"] == [97, 98]


def test_merged_sources_arrive_side_by_side() -> None:
    """A long source does not hold back a short one."""
    merged = merge(Script("hr", *["60"] * 50), Script("spo2", "97"))
    vitals = [reading.vital for reading in asyncio.run(gathered(merged))]
    assert vitals.index("spo2") < 10


def test_merged_sources_add_up_their_refusals() -> None:
    """What one sensor refuses is counted for the bed."""
    merged = merge(Script("hr", "0", "60", "x"), Script("spo2", "101"), Mute())
    assert len(asyncio.run(gathered(merged, 1))) == 1
    ended = merge(Script("hr", "0", "60", "x"), Script("spo2", "101"))
    asyncio.run(gathered(ended))
    assert refusals(ended) == {"implausible": 2, "number": 1}


def test_a_source_that_counts_nothing_has_refused_nothing() -> None:
    """The counter is optional in the protocol."""
    assert refusals(Mute()) == {}


def test_a_failing_source_ends_the_others() -> None:
    """A broken cable is told at once, though other sensors would go on for ever."""
    mute = Mute()
    with pytest.raises(BrokenCableError):
        asyncio.run(gathered(merge(mute, Broken())))
    assert mute.closed


def test_a_source_that_never_waits_is_held_back() -> None:
    """What nobody reads does not fill the memory, and others get their turn."""
    torrent = Torrent()

    async def most() -> None:
        async for _ in merge(torrent):
            await asyncio.sleep(0)
            break

    asyncio.run(most())
    assert torrent.given <= DEPTH + 2


def test_no_sources_are_an_ended_source() -> None:
    """A bed without sensors waits for nothing."""
    assert asyncio.run(gathered(merge())) == []


def test_the_example_of_a_sensor_runs_and_is_short() -> None:
    """An engineer's own sensor takes 20 lines."""
    path = EXAMPLES / "my_sensor.py"
    sensor = runpy.run_path(str(path))["MySensor"](["hr 72", "rr 14\n", "mood 3"])
    readings = asyncio.run(gathered(sensor))
    assert [(r.vital, float(r.value)) for r in readings] == [("hr", 72), ("rr", 14)]
    assert refusals(sensor) == {"unlisted": 1}
    lines = path.read_text(encoding="utf-8").partition("class ")[2].splitlines()
    assert len(lines) <= 20
