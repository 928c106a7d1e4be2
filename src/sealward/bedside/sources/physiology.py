"""How a vital wavers in a person at rest, and how a monitor shows it.

A value is a person's own level plus two fluctuations, a fast and a slow one (each an
Ornstein-Uhlenbeck process, which has a size and a memory), larger in a restless person
than in a calm one. The monitor shows a new value now and then and holds it in between,
rounded, and loses it altogether where a probe falls off.

The figures were fitted by ``bench/calibrate/fit.py`` to BIDMC (PhysioNet, Pimentel et
al. 2016; 53 adults in intensive care, ODC-BY 1.0); skin temperature, which BIDMC lacks,
and the course of the day are our own choice. See docs/explanation/simulator.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

CALM, RESTLESS = 0.4, 2.5  # bounds of a person's restlessness; 1 is the median


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What is usual for one vital. Values are in the vital's unit, times in seconds."""

    level: float  # mean of people's levels
    spread: float  # standard deviation of people's levels
    bounds: tuple[float, float]  # of people's levels
    day: float  # half the difference between 16:00 and 04:00 UTC
    fast: float  # standard deviation of the fast fluctuation
    fast_time: float  # its memory: the lag at which correlation is 1/e
    slow: float
    slow_time: float
    restless: float  # standard deviation of the logarithm of people's restlessness
    fresh: float  # share of seconds in which the monitor shows a new value
    digits: int  # decimals shown
    top: float = math.inf  # no higher value can be
    lag: float = 1.0  # seconds over which a pulse rate averages the heart rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How often a probe loses its signal, and for how long."""

    vitals: tuple[str, ...]  # lost together
    losses: float  # a second
    length: float  # mean, s


class Trace:
    """One vital of one person, second by second."""

    __slots__ = (
        "_fast",
        "_fast_keep",
        "_fast_push",
        "_habit",
        "_lots",
        "_shown",
        "_slow",
        "_slow_keep",
        "_slow_push",
        "level",
    )

    def __init__(self, habit: Habit, lots: Random) -> None:
        low, high = habit.bounds
        self.level = min(max(lots.gauss(habit.level, habit.spread), low), high)
        size = math.exp(lots.gauss(0, habit.restless))
        size = min(max(size, CALM), RESTLESS)
        # exact discretisation of an Ornstein-Uhlenbeck process at 1 Hz
        self._fast_keep = math.exp(-1 / habit.fast_time)
        self._slow_keep = math.exp(-1 / habit.slow_time)
        self._fast_push = size * habit.fast * math.sqrt(1 - self._fast_keep**2)
        self._slow_push = size * habit.slow * math.sqrt(1 - self._slow_keep**2)
        self._fast = lots.gauss(0, size * habit.fast)
        self._slow = lots.gauss(0, size * habit.slow)
        self._habit = habit
        self._lots = lots
        self._shown: float | None = None

    def waver(self) -> float:
        """Go on by a second and return the deviation from the level."""
        gauss = self._lots.gauss
        self._fast = self._fast * self._fast_keep + gauss(0, self._fast_push)
        self._slow = self._slow * self._slow_keep + gauss(0, self._slow_push)
        return self._fast + self._slow

    def show(self, value: float) -> float:
        """Return what the monitor shows this second, where *value* is the truth."""
        if self._shown is None or self._lots.random() < self._habit.fresh:
            self._shown = min(round(value, self._habit.digits), self._habit.top)
        return self._shown


class Pulse(Trace):
    """A pulse rate, which an oximeter averages: it follows the heart's, smoothed.

    Its level and its fluctuations are those of the difference between the two.
    """

    __slots__ = ("_followed",)

    def __init__(self, habit: Habit, lots: Random) -> None:
        super().__init__(habit, lots)
        self._followed: float | None = None

    def follow(self, heart: float) -> float:
        """Go on by a second and return the rate shown, the true one being *heart*."""
        before = heart if self._followed is None else self._followed
        self._followed = before + (heart - before) / self._habit.lag
        return self.show(self._followed + self.level + self.waver())


HABITS: Mapping[str, Habit] = MappingProxyType(
    {
        "hr": Habit(
            level=85.2,
            spread=9.2,
            bounds=(55, 105),
            day=4,
            fast=1.21,
            fast_time=7.47,
            slow=0.999,
            slow_time=25.3,
            restless=0.774,
            fresh=0.474,
            digits=0,
        ),
        "pr": Habit(  # the difference to hr
            level=-0.3,
            spread=0.7,
            bounds=(-2, 2),
            day=0,
            fast=0.261,
            fast_time=10.2,
            slow=0,
            slow_time=10.2,
            restless=0.822,
            fresh=0.487,
            digits=0,
            lag=3.6,
        ),
        "rr": Habit(
            level=17.2,
            spread=2.2,
            bounds=(11, 21),
            day=0.8,
            fast=0.464,
            fast_time=23.8,
            slow=0.936,
            slow_time=42.2,
            restless=0.619,
            fresh=0.232,
            digits=0,
        ),
        "spo2": Habit(
            level=97.2,
            spread=1.2,
            bounds=(95, 99),
            day=0.2,
            fast=0.237,
            fast_time=7.08,
            slow=0.243,
            slow_time=19.5,
            restless=0.654,
            fresh=0.179,
            digits=0,
            top=100,
        ),
        "tskin": Habit(  # our own choice throughout
            level=33.5,
            spread=0.5,
            bounds=(32, 35),
            day=0.4,
            fast=0.01,
            fast_time=10,
            slow=0.15,
            slow_time=1800,
            restless=0.2,
            fresh=0.2,
            digits=2,
        ),
    }
)

PROBES = (
    Probe(vitals=("hr",), losses=1 / 25_489, length=4.0),
    Probe(vitals=("pr", "spo2"), losses=12 / 25_365, length=10.7),
    Probe(vitals=("rr",), losses=2 / 25_005, length=3.5),
)
