"""Simulated patients: a source like any other, calibrated to recordings, from a seed.

It is for demonstrations, tests and benchmarks. Nobody's recording is played back, and
nothing that it gives is a finding about a person.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta

from sealward import clock as clocks
from sealward.bedside.sources import course as courses
from sealward.bedside.sources.pace import SECOND, Pace, plan
from sealward.bedside.sources.source import attempt
from sealward.vitals.reading import Reading


class Simulation:
    """One simulated patient, to be read once."""

    def __init__(self, seconds: Iterator[dict[str, float]], pace: Pace) -> None:
        self.refusals: Counter[str] = Counter()  # by reason; a sound course leaves none
        self._seconds = seconds
        self._pace = pace

    async def __aiter__(self) -> AsyncIterator[Reading]:
        """Yield readings, second by second."""
        for elapsed, shown in enumerate(self._seconds):
            at = await self._pace.reach(elapsed * SECOND)
            for vital, value in shown.items():
                reading = attempt(self.refusals, vital, value, at=at)
                if reading is not None:
                    yield reading


def simulate(  # noqa: PLR0913 - by keyword, each with a default but the seed
    patient: int,
    *,
    seed: int,
    course: str = "normal",
    onset: float = courses.ONSET,
    minutes: float | None = None,
    speed: float = 1.0,
    clock: Callable[[], datetime] = clocks.now,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Simulation:
    """Return simulated patient number *patient* of those that *seed* gives.

    It yields ``hr``, ``pr``, ``rr``, ``spo2`` and ``tskin`` once a second, without an
    end. The *course* sets in after *onset* seconds and takes *minutes*, or its own
    time. Above *speed* 1 the simulation begins in the past and meets the present when
    the course is complete; from then on it goes in real time.

    Raises:
        ConfigError: no such course, or *minutes* or *speed* out of range.
    """
    chosen = courses.known(course)
    length = timedelta(minutes=chosen.minutes if minutes is None else minutes)
    start = plan(clock(), timedelta(seconds=onset) + length, speed).astimezone(UTC)
    seconds = courses.course(
        f"{seed}/{patient}",
        course,
        onset=onset,
        minutes=minutes,
        second=start.hour * 3600 + start.minute * 60 + start.second,
    )
    return Simulation(seconds, Pace(start=start, speed=speed, clock=clock, sleep=sleep))
