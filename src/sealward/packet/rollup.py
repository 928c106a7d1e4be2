"""Reduce the readings of a period to how many they were, their mean and their span."""

from collections.abc import Mapping, Sequence

from sealward.packet.profile import PARTS, Channel, Group

Cells = tuple[int, int | None, int | None, int | None]


def reduced(channel: Channel, raws: Sequence[int | None]) -> Cells:
    """Return count, mean, what lies below and what lies above it, of one period.

    *raws* are raw values of *channel*, None for a gap. The mean is rounded to
    ``mul`` parts of a step, a half upwards; the span is in steps from its floor.
    Without a value the count is 0 and the rest are gaps.
    """
    values = [raw for raw in raws if raw is not None]
    count = len(values)
    if not count:
        return 0, None, None, None
    mean = (2 * channel.mul * sum(values) + count) // (2 * count)
    floor = mean // channel.mul
    return count, mean, floor - min(values), max(values) - floor


def columns(
    source: Group, periods: Sequence[Mapping[int, Sequence[int | None]]]
) -> dict[int, list[int | None]]:
    """Return the columns of a rollup of *source*, one row for each of *periods*.

    Each period holds the raw values of its rows by channel, as a table has them; the
    four columns of channel c are 4c (count), 4c+1 (mean), 4c+2 and 4c+3 (span).
    """
    rolled: dict[int, list[int | None]] = {}
    for number, channel in enumerate(source.channels):
        rows = [reduced(channel, period.get(number, ())) for period in periods]
        for part, column in enumerate(zip(*rows, strict=True)):
            rolled[len(PARTS) * number + part] = list(column)
    return rolled
