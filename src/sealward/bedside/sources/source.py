"""The one protocol by which a sensor is added: an async iterator of readings.

Whoever writes a driver needs this and ``sealward.vitals.reading.read``, and nothing
else of Sealward. A driver yields what may enter and counts what may not; it never
mends a value, and it stamps each reading with the time at which it was measured.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from sealward.errors import RefusalError
from sealward.vitals.reading import Reading, read

DEPTH = 1024  # readings; a source further ahead of its reader than this waits


class Source(Protocol):
    """A sensor, a file or a simulator: anything that yields readings in time.

    A source may also carry a ``refusals`` counter, from a refusal's reason to how
    often it came; ``refusals()`` reads it.
    """

    def __aiter__(self) -> AsyncIterator[Reading]:
        """Return an iterator of readings, oldest first, that ends with the source."""


def refusals(source: Source) -> Counter[str]:
    """Return how many inputs *source* has refused so far, by reason.

    A source that counts nothing has refused nothing.
    """
    counted: Counter[str] | None = getattr(source, "refusals", None)
    return Counter() if counted is None else counted


def attempt(
    counted: Counter[str],
    vital: str,
    value: float | Decimal | str,
    *,
    at: datetime | int,
    unit: str | None = None,
) -> Reading | None:
    """Return the reading, or None after counting in *counted* why there is none.

    *at* is an aware time, or nanoseconds since 1970 in UTC; *unit* is what *value* is
    in, where that is not the vital's own unit.
    """
    try:
        return read(vital, value, at=at, unit=unit)
    except RefusalError as refusal:
        counted[refusal.reason] += 1
        return None


def merge(*sources: Source) -> Source:
    """Return one source that yields what all *sources* do, as it arrives.

    It ends with the last of them. When one fails, the failure is raised at once and
    the others are closed. Readings of one source keep their order.
    """
    return _Merged(sources)


class _Merged:
    """Several sources, read side by side."""

    def __init__(self, sources: tuple[Source, ...]) -> None:
        self._sources = sources

    @property
    def refusals(self) -> Counter[str]:
        """What all sources have refused so far, by reason."""
        return sum(map(refusals, self._sources), Counter())

    async def __aiter__(self) -> AsyncIterator[Reading]:
        """Yield readings in the order in which the sources give them."""
        # The queue holds readings and ended pumps. It has no limit itself, so that an
        # ended pump always finds room; the semaphore keeps the readings few.
        arrived: asyncio.Queue[Reading | asyncio.Task[None]] = asyncio.Queue()
        room = asyncio.Semaphore(DEPTH)

        async def pump(source: Source) -> None:
            async for reading in source:
                await room.acquire()
                arrived.put_nowait(reading)

        pumps = {asyncio.create_task(pump(source)) for source in self._sources}
        for task in pumps:
            task.add_done_callback(arrived.put_nowait)
        try:
            while pumps:
                item = await arrived.get()
                if isinstance(item, asyncio.Task):
                    pumps.remove(item)
                    item.result()  # raises what ended it
                else:
                    room.release()
                    yield item
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
