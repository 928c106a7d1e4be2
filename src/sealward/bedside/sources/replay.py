"""Replay a recording as if it were measured now: a source like any other."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta

from sealward import clock as clocks
from sealward.bedside.sources.pace import Pace, plan
from sealward.bedside.sources.recording import Recording
from sealward.bedside.sources.source import attempt
from sealward.vitals.reading import Reading


class Replay:
    """One patient's recording, stamped anew; to be read once."""

    def __init__(self, recording: Recording, pace: Pace, *, loop: bool) -> None:
        self.refusals: Counter[str] = Counter()  # by reason: what could be no reading
        self._recording = recording
        self._pace = pace
        self._loop = loop

    @property
    def vitals(self) -> frozenset[str]:
        """Which vitals the recording holds."""
        return frozenset(channel.vital for channel in self._recording.channels)

    async def __aiter__(self) -> AsyncIterator[Reading]:
        """Yield the readings in time; a cell without a number leaves a gap."""
        recording, begun = self._recording, 0
        while True:
            for since, cells in recording.rows:
                at = await self._pace.reach(begun + since)
                for channel, cell in zip(recording.channels, cells, strict=True):
                    if cell is None:
                        continue
                    reading = attempt(
                        self.refusals, channel.vital, cell, at=at, unit=channel.unit
                    )
                    if reading is not None:
                        yield reading
            begun += recording.duration
            if not self._loop:
                return


def replay(
    recording: Recording,
    *,
    speed: float = 1.0,
    loop: bool = False,
    clock: Callable[[], datetime] = clocks.now,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Replay:
    """Return *recording* as a source that plays it *speed* times as fast.

    What is faster than life begins in the past and meets the present at its end; it
    never passes it, nor begins before midnight (``pace.plan``). A *loop* goes on in
    real time from there.

    Raises:
        ConfigError: *speed* is below 1.
    """
    length = timedelta(microseconds=recording.duration // 1000)
    start = plan(clock(), length, speed)
    pace = Pace(start=start, speed=speed, clock=clock, sleep=sleep)
    return Replay(recording, pace, loop=loop)
