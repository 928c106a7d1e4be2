"""What is compared between recordings and the simulator: one vital, many people."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Series = Sequence[float | None]  # one person at 1 Hz; None where there is no value


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Statistics of one vital over people. Sizes are in the vital's unit."""

    still: float  # share of seconds without a change
    one: float  # share of seconds with a change by one unit
    more: float  # share of seconds with a larger change
    step: float  # root mean square of the change in 1 s
    change: float  # root mean square of the change in 60 s
    within: float  # median over people of the standard deviation in 8 min
    restless: float  # its ninth decile
    echo: float  # median over people of the autocorrelation at 10 s
    missing: float  # share of seconds without a value
    loss: float  # mean length of a gap, s


def measure(people: Sequence[Series]) -> Measures:
    """Return the statistics of *people*, of at least two series of over 60 s each."""
    steps = _changes(people, 1)
    sizes = [abs(round(step)) for step in steps]
    valued = [[v for v in series if v is not None] for series in people]
    within = [statistics.pstdev(values) for values in valued if values]
    gaps = [length for series in people for length in _gaps(series)]
    seconds = sum(len(series) for series in people)
    return Measures(
        still=sizes.count(0) / len(sizes),
        one=sizes.count(1) / len(sizes),
        more=sum(size > 1 for size in sizes) / len(sizes),
        step=_rms(steps),
        change=_rms(_changes(people, 60)),
        within=statistics.median(within),
        restless=statistics.quantiles(within, n=10)[8],
        echo=statistics.median(e for s in people if (e := _echo(s, 10)) is not None),
        missing=sum(gaps) / seconds,
        loss=statistics.mean(gaps) if gaps else 0.0,
    )


def _changes(people: Sequence[Series], lag: int) -> list[float]:
    """Return all differences over *lag* seconds, in all series."""
    return [
        after - before
        for series in people
        for before, after in zip(series, series[lag:], strict=False)
        if before is not None and after is not None
    ]


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values) / len(values))


def _gaps(series: Series) -> list[int]:
    """Return the lengths of the runs without a value."""
    lengths = [0]
    for value in series:
        if value is None:
            lengths[-1] += 1
        elif lengths[-1]:
            lengths.append(0)
    return [length for length in lengths if length]


def _echo(series: Series, lag: int) -> float | None:
    """Return the autocorrelation at *lag* seconds; None where nothing changes."""
    values = [value for value in series if value is not None]
    if not values or not (variance := statistics.pvariance(values)):
        return None
    mean = statistics.fmean(values)
    products = [
        (before - mean) * (after - mean)
        for before, after in zip(series, series[lag:], strict=False)
        if before is not None and after is not None
    ]
    return statistics.fmean(products) / variance
