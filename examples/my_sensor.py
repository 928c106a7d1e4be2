"""A sensor of your own, in full: lines like ``hr 72``, in order, become readings."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable

from sealward.bedside.sources.source import attempt
from sealward.clock import now
from sealward.vitals.reading import Reading


class MySensor:
    """Reads *lines* (of a serial port, say) and refuses what is no vital."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = lines
        self.refusals: Counter[str] = Counter()

    async def __aiter__(self) -> AsyncIterator[Reading]:
        for line in self.lines:
            vital, _, value = line.partition(" ")
            if reading := attempt(self.refusals, vital, value, at=now()):
                yield reading
