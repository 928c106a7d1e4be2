"""A recording's stamps stay in the present's day and never pass the present."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealward.bedside.sources.pace import SECOND, Pace, nanoseconds, plan
from sealward.errors import ConfigError

DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 7, 25, tzinfo=UTC)
NOON = datetime(2026, 7, 24, 12, tzinfo=UTC)

nows = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - Hypothesis wants it so
    max_value=datetime(2040, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.just(UTC),
)
durations = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400))
speeds = st.floats(min_value=1, max_value=1e6)


class ObedientClock:
    """A clock that stands still but for the sleeping that is asked of it."""

    def __init__(self, now: datetime) -> None:
        self.time = now

    def now(self) -> datetime:
        """Return the present."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* go by, at least a microsecond of them if any."""
        self.time += max(
            timedelta(seconds=seconds), timedelta(microseconds=seconds > 0)
        )

    def pace(self, start: datetime, speed: float) -> Pace:
        """Return a pace by this clock."""
        return Pace(start=start, speed=speed, clock=self.now, sleep=self.sleep)


@given(nows, durations, speeds)
def test_a_plan_begins_today_and_not_in_the_future(
    now: datetime, duration: timedelta, speed: float
) -> None:
    """The first stamp lies between the UTC midnight before the present and it."""
    start = plan(now, duration, speed)
    assert start <= now
    assert start.astimezone(UTC).date() == now.date()


@given(nows, durations)
def test_at_real_speed_the_first_row_is_now(now: datetime, duration: timedelta) -> None:
    """Nothing is put into the past that need not be."""
    assert plan(now, duration, 1) == now


@given(nows, durations, speeds)
def test_a_planned_recording_ends_at_the_present_at_the_latest(
    now: datetime, duration: timedelta, speed: float
) -> None:
    """Unless midnight is in the way, the last stamp meets the clock exactly."""
    start = plan(now, duration, speed)
    ends = now + duration / speed
    if start > now.replace(hour=0, minute=0, second=0, microsecond=0):
        assert abs(start + duration - ends) < timedelta(microseconds=10)


@given(nows, durations, speeds, st.timedeltas(timedelta(0), timedelta(hours=14)))
def test_a_plan_does_not_depend_on_the_zone_in_which_now_is_told(
    now: datetime, duration: timedelta, speed: float, east: timedelta
) -> None:
    """The day is UTC's, wherever the gateway stands."""
    told = now.astimezone(timezone(east))
    assert plan(told, duration, speed) == plan(now, duration, speed)


@pytest.mark.parametrize("speed", [0.99, 0, -1, float("nan")])
def test_a_replay_slower_than_life_is_refused(speed: float) -> None:
    """It would fall behind without end, and out of its day."""
    with pytest.raises(ConfigError, match="speed is 1 or more"):
        plan(NOON, DAY, speed)


@given(
    nows,
    st.lists(st.integers(0, 40_000 * SECOND), min_size=1, max_size=30),
    st.floats(min_value=1, max_value=1000),
)
def test_stamps_never_pass_the_present_nor_leave_its_day_nor_go_back(
    now: datetime, gaps: list[int], speed: float
) -> None:
    """The three rules hold at any speed, at any hour, over midnight and in a loop."""
    clock = ObedientClock(now)
    since = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    pace = clock.pace(
        plan(now, timedelta(microseconds=since[-1] // 1000), speed), speed
    )

    async def play() -> None:
        before = 0
        for row in since:
            stamp = await pace.reach(row)
            present = nanoseconds(clock.time)
            assert stamp <= present
            assert stamp // (86_400 * SECOND) == present // (86_400 * SECOND)
            assert stamp >= before
            before = stamp

    asyncio.run(play())


def test_a_fast_replay_plays_fast_and_meets_the_present() -> None:
    """Ten minutes at tenfold speed take one, and the last row is now."""
    clock = ObedientClock(NOON)
    pace = clock.pace(plan(NOON, timedelta(minutes=10), 10), 10)

    async def play() -> list[int]:
        return [await pace.reach(second * SECOND) for second in range(601)]

    stamps = asyncio.run(play())
    assert stamps[0] == nanoseconds(NOON - timedelta(minutes=9))
    assert stamps[-1] == nanoseconds(NOON + timedelta(minutes=1))
    assert {b - a for a, b in pairwise(stamps)} == {SECOND}
    assert clock.time - NOON - timedelta(minutes=1) < timedelta(seconds=0.2)


def test_once_it_has_met_the_present_a_fast_replay_goes_on_in_real_time() -> None:
    """A loop at tenfold speed becomes a loop at real speed."""
    clock = ObedientClock(NOON)
    pace = clock.pace(NOON, 10)

    async def play() -> list[int]:
        return [await pace.reach(second * SECOND) for second in range(100)]

    assert asyncio.run(play())[-1] == nanoseconds(NOON + timedelta(seconds=99))
    assert clock.time - NOON >= timedelta(seconds=99)


def test_rows_left_at_midnight_go_on_in_the_next_day_in_real_time() -> None:
    """The backlog of yesterday is not stamped as yesterday's once today has begun."""
    clock = ObedientClock(MIDNIGHT - timedelta(seconds=10))
    pace = clock.pace(plan(clock.time, timedelta(hours=1), 60), 60)

    async def play() -> list[int]:
        return [await pace.reach(second * SECOND) for second in range(3601)]

    stamps = asyncio.run(play())
    today = [stamp for stamp in stamps if stamp >= nanoseconds(MIDNIGHT)]
    assert 0.7 * 3600 < len(today) < 0.9 * 3600  # 10 s at sixtyfold speed had gone out
    assert today[0] - nanoseconds(MIDNIGHT) < SECOND
    assert {b - a for a, b in pairwise(today)} == {SECOND}


def test_a_clock_set_back_holds_the_replay_back() -> None:
    """Even then no stamp is ahead of the clock."""
    clock = ObedientClock(NOON)
    pace = clock.pace(NOON, 1)

    async def play() -> int:
        await pace.reach(10 * SECOND)
        clock.time -= timedelta(seconds=8)
        return await pace.reach(11 * SECOND)

    assert asyncio.run(play()) <= nanoseconds(clock.time)


def test_rows_of_a_wave_are_given_out_in_bursts() -> None:
    """An ECG does not wake the gateway 250 times a second."""
    clock = ObedientClock(NOON)
    pace = clock.pace(NOON, 1)
    naps = []

    async def play() -> None:
        for sample in range(250):
            before = clock.time
            await pace.reach(sample * SECOND // 250)
            naps.append(clock.time > before)

    asyncio.run(play())
    assert sum(naps) <= 11
