"""What becomes of a simulated person: courses of illness on top of a restless rest.

A course moves vitals from the person's own level to an end that alarms, and leaves them
there. Its default pace is as steep as the steepest minute in the recordings to which
the simulator was calibrated, and no steeper: -4 % of oxygen saturation, +15 breaths
and +35 heart beats a minute. Everything follows from the seed.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from sealward.bedside.sources.physiology import HABITS, PROBES, Probe, Pulse, Trace
from sealward.errors import ConfigError

ONSET = 60.0  # s of rest before a course sets in
_DAY = 86_400  # s
_PEAK = 16 * 3600  # s of the UTC day at which the vitals are highest


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Where one vital goes, and in which part of the course (0 to 1)."""

    vital: str
    end: float  # in the vital's unit
    begins: float
    ends: float

    def part(self, progress: float) -> float:
        """Return how much of the way is gone, 0 to 1, at *progress* of the course."""
        way = (progress - self.begins) / (self.ends - self.begins)
        way = min(max(way, 0.0), 1.0)
        return way * way * (3 - 2 * way)  # sets in and ends gently


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A course of illness."""

    minutes: float  # from onset to the end
    changes: tuple[Change, ...]


COURSES: Mapping[str, Course] = MappingProxyType(
    {
        "normal": Course(minutes=0, changes=()),
        # respiratory failure: breathing and heart make up for it until they cannot
        "deteriorating": Course(
            minutes=10,
            changes=(
                Change(vital="rr", end=35, begins=0.0, ends=0.7),
                Change(vital="hr", end=135, begins=0.1, ends=0.9),
                Change(vital="spo2", end=79, begins=0.2, ends=1.0),
                Change(vital="tskin", end=31.5, begins=0.3, ends=1.0),
            ),
        ),
        # the oxygen alone: a displaced tube, an airway that closes
        "hypoxia": Course(
            minutes=8,
            changes=(
                Change(vital="spo2", end=79, begins=0.0, ends=1.0),
                Change(vital="hr", end=115, begins=0.3, ends=1.0),
            ),
        ),
        "tachycardia": Course(
            minutes=5, changes=(Change(vital="hr", end=152, begins=0.0, ends=1.0),)
        ),
    }
)


class _Contact:
    """Whether a probe gives a signal, second by second."""

    def __init__(self, probe: Probe, lots: Random) -> None:
        self._probe = probe
        self._lots = lots
        self._lost = False

    def holds(self) -> bool:
        """Go on by a second and return whether there is a signal."""
        chance = 1 / self._probe.length if self._lost else self._probe.losses
        if self._lots.random() < chance:
            self._lost = not self._lost
        return not self._lost


def known(kind: str) -> Course:
    """Return the course named *kind*.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        return COURSES[kind]
    except KeyError:
        raise ConfigError(f"no course {kind!r}: {', '.join(COURSES)}") from None


def course(
    seed: int | str,
    kind: str = "normal",
    *,
    onset: float = ONSET,
    minutes: float | None = None,
    second: int = 0,
) -> Iterator[dict[str, float]]:
    """Yield what a monitor shows of one person, second by second, without an end.

    A vital is absent from a second in which its probe has no signal. *kind* is a key of
    ``COURSES``; it sets in after *onset* seconds and takes *minutes*, or its own time.
    *second* is that of the UTC day at which to begin. The same arguments give the same
    values, on any machine.

    Raises:
        ConfigError: there is no such course, or *minutes* is not above 0.
    """
    chosen = known(kind)
    length = 60 * (chosen.minutes if minutes is None else minutes)
    if chosen.changes and not length > 0:
        raise ConfigError("a course takes more than 0 minutes")
    return _seconds(Random(seed), chosen.changes, onset, length, second)  # noqa: S311


def _seconds(
    lots: Random, changes: tuple[Change, ...], onset: float, length: float, second: int
) -> Iterator[dict[str, float]]:
    """Yield the seconds of a person whose lots are *lots*."""
    traces = {
        vital: Trace(habit, lots) for vital, habit in HABITS.items() if vital != "pr"
    }
    pulse = Pulse(HABITS["pr"], lots)
    contacts = [(probe.vitals, _Contact(probe, lots)) for probe in PROBES]
    elapsed = 0
    while True:
        phase = math.cos(2 * math.pi * (second + elapsed - _PEAK) / _DAY)
        levels = {v: t.level + HABITS[v].day * phase for v, t in traces.items()}
        if elapsed > onset:
            for change in changes:
                way = change.part((elapsed - onset) / length)
                levels[change.vital] += way * (change.end - levels[change.vital])
        shown = {}
        for vital, trace in traces.items():
            truth = levels[vital] + trace.waver()
            shown[vital] = trace.show(truth)
            if vital == "hr":
                shown["pr"] = pulse.follow(truth)
        for vitals, contact in contacts:
            if not contact.holds():
                for vital in vitals:
                    del shown[vital]
        yield shown
        elapsed += 1
