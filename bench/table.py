"""One table of everything measured: a row a figure, with its target if it has one."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure: at *most* or at *least* so much is its target.

    *room* is the share by which a noisy machine may miss the target before the run
    fails; sizes have none. *also* are further figures of the same thing, by unit.
    """

    what: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None
    room: float = 0.0
    also: Mapping[str, float] = field(default_factory=dict)

    def within(self, room: float = 0.0) -> bool:
        """Say whether the target, widened by the share *room*, was reached."""
        above = self.most is not None and self.value > self.most * (1 + room)
        below = self.least is not None and self.value < self.least * (1 - room)
        return not above and not below

    @property
    def failed(self) -> bool:
        """Whether the target was missed by more than noise."""
        return not self.within(self.room)

    @property
    def target(self) -> str:
        """The target in words, empty if there is none."""
        if self.most is not None:
            return f"at most {self.most:g}"
        return f"at least {self.least:g}" if self.least is not None else ""

    @property
    def verdict(self) -> str:
        """Whether the target was reached, in a word; empty if there is none."""
        if not self.target:
            return ""
        return "reached" if self.within() else "missed"

    @property
    def figure(self) -> str:
        """The figures with their units."""
        all_ = {self.unit: self.value} | dict(self.also)
        return "; ".join(f"{shown(value)} {unit}" for unit, value in all_.items())


def shown(value: float) -> str:
    """Return *value* with as many digits as it deserves."""
    if value == int(value):
        return f"{value:,.0f}"
    for least, digits in ((100, 0), (10, 1), (1, 2)):
        if abs(value) >= least:
            return f"{value:,.{digits}f}"
    return f"{value:.3f}"


def head(section: str) -> None:
    """Print *section*'s head."""
    print(f"--- {section} ---", flush=True)


def show(row: Row) -> None:
    """Print *row* as a line of the table."""
    aim = f"  [{row.target}: {row.verdict}]" if row.target else ""
    print(f"{row.what:<60} {row.figure}{aim}", flush=True)


def note(text: str) -> None:
    """Print *text* beside the table."""
    print(text, file=sys.stderr, flush=True)
