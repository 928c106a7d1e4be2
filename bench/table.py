"""Collect what was measured: a row each, with its target if it has one."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. *target* is what it must reach: an upper or a lower bound."""

    section: str
    what: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the target was reached; None where there is none."""
        if self.most is not None:
            return self.value <= self.most
        if self.least is not None:
            return self.value >= self.least
        return None

    def line(self) -> str:
        """Return the row as a line of the table."""
        value = f"{self.value:,.3f}" if self.value < 10 else f"{self.value:,.1f}"
        aim = ""
        if self.most is not None:
            aim = f"<= {self.most:g}"
        if self.least is not None:
            aim = f">= {self.least:g}"
        verdict = {None: "", True: "reached", False: "MISSED"}[self.reached]
        what = f"{self.section:<10} {self.what:<66}"
        return f"{what} {value:>12} {self.unit:<14} {aim:>10} {verdict}"


def cpu(act: Callable[[], object]) -> float:
    """Return the CPU seconds of this process that *act* takes."""
    begin = time.process_time()
    act()
    return time.process_time() - begin


def median_us(act: Callable[[], object], times: int, rounds: int = 7) -> float:
    """Return the median over *rounds* of the mean CPU µs of *times* runs of *act*."""

    def often() -> None:
        for _ in range(times):
            act()

    return statistics.median(cpu(often) for _ in range(rounds)) / times * 1e6


def quotient(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 9
) -> float:
    """Return how many times the CPU of *theirs* *ours* takes; they take turns."""
    return statistics.median(cpu(ours) / cpu(theirs) for _ in range(rounds))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which *share* of *values* lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
