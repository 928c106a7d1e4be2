"""Fit the simulator's coefficients to BIDMC and print them, with what they reach.

    .venv/bin/python -m bench.calibrate.fit

It takes about a minute. The fit simulates twice as many people as were recorded, for as
long, from fixed seeds, and compares the logarithms of the same statistics.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from random import Random

from bench.calibrate.measures import Measures, Series, measure
from bench.calibrate.recordings import bidmc
from scipy.optimize import minimize

from sealward.bedside.sources.physiology import HABITS, Habit, Pulse, Trace

SECONDS = 481  # as each recording
PEOPLE = 53 * 2
TRIES = 150  # simulations for each vital
NORMAL = {"hr": (55, 105), "rr": (11, 21), "spo2": (95, 99)}  # levels of people at rest
FREE = ("fast", "fast_time", "slow", "slow_time", "restless", "fresh")
START = {  # guesses, so that a fit does not depend on the one before
    "hr": dict(zip(FREE, (1.2, 4, 1, 20, 0.7, 0.5), strict=True)),
    "pr": {"fast": 0.5, "fast_time": 8, "restless": 0.7, "fresh": 0.5, "lag": 5},
    "rr": dict(zip(FREE, (0.5, 8, 0.9, 50, 0.6, 0.3), strict=True)),
    "spo2": dict(zip(FREE, (0.2, 10, 0.3, 20, 0.5, 0.3), strict=True)),
}
AIMS = ("still", "one", "more", "step", "change", "within", "restless", "echo")
FLOOR = 0.002  # shares below this are not told apart

Model = Callable[[Habit, Random], Series]


def alone(habit: Habit, lots: Random) -> Series:
    """Return one simulated person's series of a vital of its own."""
    trace = Trace(habit, lots)
    return [trace.show(trace.level + trace.waver()) for _ in range(SECONDS)]


def pulse(heart: Habit, habit: Habit, lots: Random) -> Series:
    """Return one simulated person's pulse rate, which follows the *heart*'s."""
    truth = Trace(heart, lots)
    trace = Pulse(habit, lots)
    return [trace.follow(truth.level + truth.waver()) for _ in range(SECONDS)]


def simulated(model: Model, habit: Habit) -> Measures:
    """Measure *model* on people drawn from fixed seeds."""
    draws = [Random(person) for person in range(PEOPLE)]  # noqa: S311 - no secrets
    return measure([model(habit, lots) for lots in draws])


def distance(ours: Measures, theirs: Measures) -> float:
    """Return the mean square of the statistics' logarithmic differences."""
    pairs = [(asdict(ours)[aim], asdict(theirs)[aim]) for aim in AIMS]
    return statistics.fmean(
        math.log(max(our, FLOOR) / max(their, FLOOR)) ** 2 for our, their in pairs
    )


def fitted(
    model: Model, begin: Habit, start: Mapping[str, float], target: Measures
) -> Habit:
    """Return the habit whose simulation comes nearest to *target*."""

    def habit(point: Sequence[float]) -> Habit:
        values = {name: math.exp(log) for name, log in zip(start, point, strict=True)}
        values["fresh"] = min(values["fresh"], 1.0)
        return replace(begin, **values)  # type: ignore[arg-type]  # those are floats

    result = minimize(
        lambda point: distance(simulated(model, habit(point)), target),
        [math.log(value) for value in start.values()],
        method="Nelder-Mead",
        options={"maxfev": TRIES, "xatol": 0.01, "fatol": 1e-4},
    )
    return habit(result.x)


def medians(people: Sequence[Series]) -> list[float]:
    """Return each person's median."""
    return [statistics.median(v for v in s if v is not None) for s in people]


def steepest(people: Sequence[Series], lag: int = 60) -> tuple[float, float]:
    """Return the largest fall and rise over *lag* seconds, of medians of 5 s."""
    changes = [0.0]
    for series in people:
        values = [value for value in series if value is not None]
        smooth = [statistics.median(values[i : i + 5]) for i in range(len(values) - 4)]
        changes += [b - a for a, b in zip(smooth, smooth[lag:], strict=False)]
    return min(changes), max(changes)


def level(vital: str, people: Sequence[Series]) -> tuple[float, float]:
    """Return mean and deviation of the levels of people at rest; of pr, to hr."""
    kept = medians(people)
    if vital == "pr":
        kept = [p - h for p, h in zip(kept, medians(bidmc("hr")), strict=True)]
        low, high = HABITS["pr"].bounds
    else:
        low, high = NORMAL[vital]
    kept = [median for median in kept if low <= median <= high]
    return statistics.fmean(kept), statistics.stdev(kept)


def main() -> None:
    """Print coefficients, targets and what is reached, vital by vital."""
    found: dict[str, Habit] = {}
    for vital in ("hr", "pr", "rr", "spo2"):
        people = bidmc(vital)
        target = measure(people)
        model = partial(pulse, found["hr"]) if vital == "pr" else alone
        found[vital] = fitted(model, HABITS[vital], START[vital], target)
        reached = asdict(simulated(model, found[vital]))
        mean, spread = level(vital, people)
        fall, rise = steepest(people)
        print(
            f"\n{vital}: {len(people)} people, level {mean:.1f}, spread {spread:.1f};"
        )
        print(f"  steepest in a minute {fall:+.0f} and {rise:+.0f}")
        print(
            "  "
            + ", ".join(f"{n} {getattr(found[vital], n):.3g}" for n in START[vital])
        )
        for name, value in asdict(target).items():
            print(f"  {name:8} recorded {value:8.4f} reached {reached[name]:8.4f}")


if __name__ == "__main__":
    main()
