"""The simulator wavers as the recordings do, and its courses alarm."""

import asyncio
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from bench.calibrate.measures import Measures, Series, measure
from bench.calibrate.recordings import DATA, bidmc

from sealward.bedside.sources.course import COURSES, course
from sealward.bedside.sources.physiology import HABITS
from sealward.bedside.sources.simulator import simulate
from sealward.bedside.sources.source import refusals
from sealward.errors import ConfigError
from sealward.vitals.table import VITALS

NOON = datetime(2026, 7, 24, 12, tzinfo=UTC)
PEOPLE, SECONDS = 100, 481  # the recordings are 53 people, 481 s each

# What BIDMC gives, printed by bench/calibrate/fit.py (docs/explanation/simulator.md).
RECORDED = {
    "hr": {"still": 0.721, "one": 0.191, "step": 1.14, "within": 1.476, "echo": 0.355},
    "pr": {"still": 0.813, "one": 0.162, "step": 0.59, "within": 1.357, "echo": 0.428},
    "rr": {"still": 0.912, "one": 0.077, "step": 0.387, "within": 1.013, "echo": 0.615},
    "spo2": {
        "still": 0.957,
        "one": 0.043,
        "step": 0.209,
        "within": 0.52,
        "echo": 0.307,
    },
}
SHARES = 0.02  # still: absolute
FACTOR = 1.3  # the others: at most so many times more or less


def close(ours: Measures, theirs: dict[str, float]) -> bool:
    """Tell whether *ours* lie within the stated bounds of *theirs*."""
    mine = asdict(ours)
    return abs(mine["still"] - theirs["still"]) <= SHARES and all(
        1 / FACTOR <= mine[name] / theirs[name] <= FACTOR
        for name in ("one", "step", "within", "echo")
    )


@pytest.fixture(scope="module")
def people() -> dict[str, list[Series]]:
    """Return what monitors show of simulated people at rest, vital by vital."""
    shown = [list(islice(course(seed), SECONDS)) for seed in range(PEOPLE)]
    return {
        vital: [[second.get(vital) for second in person] for person in shown]
        for vital in RECORDED
    }


@pytest.mark.parametrize("vital", RECORDED)
def test_a_simulated_vital_wavers_as_the_recorded_one(
    people: dict[str, list[Series]], vital: str
) -> None:
    """Changes, their size and their memory lie near BIDMC's."""
    ours = measure(people[vital])
    assert close(ours, RECORDED[vital]), ours


@pytest.mark.parametrize("vital", RECORDED)
def test_the_recorded_figures_are_those_of_the_recordings(vital: str) -> None:
    """The figures above come from the data, where the data are at hand."""
    if not (DATA / "bidmc").exists():
        pytest.skip(
            "real recordings not found: set SEALWARD_TEST_DATA to run this test"
        )
    theirs = asdict(measure(bidmc(vital)))
    for name, value in RECORDED[vital].items():
        assert theirs[name] == pytest.approx(value, abs=0.001)


def test_a_probe_falls_off_as_often_as_in_the_recordings() -> None:
    """An oximeter loses 0.5 % of its seconds, both its vitals at once."""
    shown = [
        second for seed in range(20) for second in islice(course(f"gap {seed}"), 10_000)
    ]
    lost = Counter(vital for second in shown for vital in HABITS if vital not in second)
    assert lost["spo2"] == lost["pr"]
    assert 0.0025 < lost["spo2"] / len(shown) < 0.01
    assert lost["hr"] < lost["spo2"] / 5
    assert not lost["tskin"]


def test_a_pulse_follows_the_heart() -> None:
    """Two probes on one person agree, as the pulse's smoothing and offset allow."""
    seconds = [s for s in islice(course(3), 3600) if {"hr", "pr"} <= s.keys()]
    near = sum(abs(s["hr"] - s["pr"]) <= 5 for s in seconds)
    assert near / len(seconds) > 0.9


def test_a_normal_course_stays_plausible_and_never_alarms_for_long() -> None:
    """A day of rest crosses no default limit for as long as its alarm's delay."""
    limits = {"hr": (50, 120), "rr": (9, 29), "spo2": (90, 100)}
    beyond = dict.fromkeys(limits, 0)
    for second in islice(course("a day", second=7 * 3600), 86_400):
        for vital, value in second.items():
            assert VITALS[vital].low <= value <= VITALS[vital].high
        for vital, (low, high) in limits.items():
            inside = low <= second.get(vital, low) <= high
            beyond[vital] = 0 if inside else beyond[vital] + 1
            assert beyond[vital] < 10


@pytest.mark.parametrize(
    ("kind", "alarming"),
    [
        ("deteriorating", {"rr": (30, 70), "hr": (121, 250), "spo2": (40, 84)}),
        ("hypoxia", {"spo2": (40, 84)}),
        ("tachycardia", {"hr": (141, 250)}),
    ],
)
@pytest.mark.parametrize("seed", range(10))
def test_a_course_ends_in_its_alarm_whoever_the_patient_is(
    kind: str, alarming: dict[str, tuple[float, float]], seed: int
) -> None:
    """After its time each vital of a course is beyond its limit, nearly always."""
    end = int(60 + 60 * COURSES[kind].minutes)
    plateau = list(islice(course(seed, kind), end, end + 120))
    for vital, (low, high) in alarming.items():
        values = [second[vital] for second in plateau if vital in second]
        assert sum(low <= value <= high for value in values) > 0.8 * len(values)
    rest = list(islice(course(seed, kind), 60))
    assert rest == list(islice(course(seed), 60))  # before onset nothing gives it away


@pytest.mark.parametrize("kind", COURSES)
def test_no_course_is_steeper_than_the_steepest_recorded_minute(kind: str) -> None:
    """The default paces are life's: -4 %, +15 and +35 a minute were recorded."""
    steepest = {"spo2": 4.0, "rr": 15.0, "hr": 35.0}
    minutes = COURSES[kind].minutes
    for change in COURSES[kind].changes:
        if change.vital not in steepest:
            continue  # skin temperature was not recorded
        low, high = HABITS[change.vital].bounds
        way = max(abs(change.end - low), abs(change.end - high))
        ticks = [
            change.part(minute / 10 / minutes) for minute in range(int(minutes * 10))
        ]
        most = max(b - a for a, b in zip(ticks, ticks[10:], strict=False))
        assert way * most <= steepest[change.vital], change.vital


def test_the_same_seed_gives_the_same_patient_and_another_another() -> None:
    """A demonstration can be repeated, and its patients differ."""
    first = list(islice(course("7/1", "hypoxia"), 200))
    assert first == list(islice(course("7/1", "hypoxia"), 200))
    assert first != list(islice(course("7/2", "hypoxia"), 200))


def test_an_unknown_course_is_told_with_the_known_ones() -> None:
    """A typing error in a demonstration is mended from the message."""
    with pytest.raises(ConfigError, match="no course 'sick': normal, deteriorating"):
        course(1, "sick")
    with pytest.raises(ConfigError, match="more than 0 minutes"):
        course(1, "hypoxia", minutes=0)


def test_a_simulated_patient_is_a_source_in_real_time() -> None:
    """Readings come once a second, stamped with the present."""
    time = NOON
    naps = []

    async def sleep(seconds: float) -> None:
        nonlocal time
        naps.append(seconds)
        time += timedelta(seconds=seconds)

    source = simulate(1, seed=7, clock=lambda: time, sleep=sleep)

    async def watch() -> list[tuple[str, int]]:
        readings = []
        async for reading in source:
            readings.append((reading.vital, reading.at))
            if len(readings) == 50:
                break
        return readings

    readings = asyncio.run(watch())
    assert {vital for vital, _ in readings} == {"hr", "pr", "rr", "spo2", "tskin"}
    assert len({at for _, at in readings}) == 10
    assert sum(naps) == pytest.approx(9, abs=0.2)
    assert refusals(source) == {}


def test_a_fast_simulation_meets_the_present_when_the_course_is_complete() -> None:
    """At sixtyfold speed ten minutes of deterioration are shown in ten seconds."""
    time = NOON

    async def sleep(seconds: float) -> None:
        nonlocal time
        time += timedelta(seconds=seconds)

    source = simulate(
        1,
        seed=7,
        course="deteriorating",
        speed=60,
        clock=lambda: time,
        sleep=sleep,
    )

    async def watch() -> float:
        async for reading in source:
            if reading.vital == "spo2" and reading.value < 82:
                break
        return (time - NOON).total_seconds()

    assert 8 < asyncio.run(watch()) < 12
