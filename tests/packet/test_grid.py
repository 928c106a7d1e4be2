"""Readings lie on the rows where they belong, and nothing is invented between them."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealward.packet import sr1
from sealward.packet.grid import DAY, Grid, Pack, place, rows_of
from sealward.packet.profile import BED_1, ICU_1, Group, channel
from sealward.vitals.reading import Reading
from sealward.vitals.table import UnknownVitalError

NOON = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()) * 1000  # ms
MIDNIGHT = NOON + DAY // 2
HR, SPO2, RR = 0, 1, 2


def reading(at_ms: int, value: float = 72, vital: str = "hr", **more: int) -> Reading:
    """Return a reading at *at_ms*."""
    return Reading(vital=vital, at=at_ms * 1_000_000, value=value, **more)


def packed(grid: Grid, *readings: Reading, now: int) -> list[Pack]:
    """Add *readings* and return what is due at *now*, ms."""
    for each in readings:
        grid.add(each)
    return grid.due(now * 1_000_000)


def minute() -> Grid:
    """Return a grid of four vitals whose packs take a minute, begun before noon."""
    grid = Grid(BED_1.group(0), 60_000)
    assert len(packed(grid, reading(NOON - 1000), now=NOON)) == 1
    return grid


def test_a_pack_closes_on_the_utc_grid_of_its_length() -> None:
    """Not before, and then with all of its rows."""
    grid = minute()
    for second in range(59):
        grid.add(reading(NOON + 1000 * second + 417, 60 + second))
    assert not grid.due((NOON + 59_999) * 1_000_000)
    (pack,) = grid.due((NOON + 60_000) * 1_000_000)
    assert (pack.start_ms, pack.rows) == (NOON, 60)
    assert pack.columns == {HR: [*range(60, 119), None]}


def test_the_first_pack_after_a_start_is_shorter() -> None:
    """It begins with the row of its first reading, whichever came first."""
    grid = Grid(BED_1.group(0), 60_000)
    (pack,) = packed(
        grid,
        reading(NOON + 47_900, 97, "spo2"),
        reading(NOON + 46_100, 71),
        reading(NOON + 47_000, 72),
        now=NOON + 60_000,
    )
    assert (pack.start_ms, pack.rows) == (NOON + 46_000, 14)
    assert pack.columns[HR][:2] == [71, 72]
    assert pack.columns[SPO2][:2] == [None, 97]


def test_the_last_reading_of_a_row_wins() -> None:
    """Whatever came before it in the same second."""
    grid = minute()
    (pack,) = packed(
        grid,
        reading(NOON, 70),
        reading(NOON + 999, 75),
        reading(NOON + 500, 73),
        reading(NOON + 1000, 80),
        now=NOON + 60_000,
    )
    assert pack.columns[HR][:3] == [73, 80, None]


def test_a_late_reading_is_counted_by_name_and_left_out() -> None:
    """What comes after its pack has closed changes nothing."""
    grid = minute()
    (pack,) = packed(grid, reading(NOON + 60_000), now=NOON + 120_000)
    grid.add(reading(NOON + 119_999, 30))
    grid.add(reading(NOON + 119_999, 97, "spo2"))
    grid.add(reading(NOON - 9, 97, "spo2"))
    assert grid.late == {"hr": 1, "spo2": 2}
    assert pack.columns == {HR: [72] + [None] * 59}
    assert not grid.close()


def test_readings_ahead_of_their_forerunners_wait_for_their_own_pack() -> None:
    """One channel across the minute's edge does not close the others' pack."""
    grid = minute()
    packs = packed(
        grid,
        reading(NOON + 60_001, 71),
        reading(NOON + 59_999, 97, "spo2"),
        now=NOON + 60_000,
    )
    assert [pack.columns for pack in packs] == [{SPO2: [None] * 59 + [97]}]
    (pack,) = grid.due((NOON + 120_000) * 1_000_000)
    assert (pack.start_ms, pack.rows, pack.columns[HR][0]) == (NOON + 60_000, 60, 71)
    assert not grid.late


def test_what_is_off_the_scale_is_a_counted_gap() -> None:
    """It is not clamped, and it does not leave the reading before it standing."""
    grid = minute()
    (pack,) = packed(
        grid,
        reading(NOON, 72),
        reading(NOON + 1, 251),
        reading(NOON + 1000, 72),
        now=NOON + 60_000,
    )
    assert pack.columns[HR][:2] == [None, 72]
    assert grid.offscale == {"hr": 1}


def test_a_bad_reading_is_a_counted_gap() -> None:
    """A table has no place for quality: what is in it may be believed."""
    grid = minute()
    (pack,) = packed(
        grid,
        reading(NOON, 72, quality=0),
        reading(NOON + 1000, 72, quality=1),
        now=NOON + 60_000,
    )
    assert pack.columns[HR][:2] == [None, 72]
    assert grid.poor == {"hr": 1}


def test_a_pack_without_any_value_is_not_made() -> None:
    """And time goes on: what lay in it is late."""
    grid = minute()
    assert not packed(grid, reading(NOON, 251), now=NOON + 60_000)
    grid.add(reading(NOON))
    assert grid.late == {"hr": 1}


@pytest.mark.parametrize("length", [60_000, 7_000, 600_000])
def test_no_pack_crosses_midnight(length: int) -> None:
    """Tomorrow's rows go under tomorrow's alias."""
    grid = Grid(BED_1.group(0), length)
    for second in range(-1200, 1200):
        grid.add(reading(MIDNIGHT + 1000 * second))
    packs = grid.due((MIDNIGHT + DAY) * 1_000_000)
    values = [raw for pack in packs for raw in pack.columns[HR] if raw is not None]
    assert len(values) == 2400
    for pack in packs:
        ends = pack.start_ms + 1000 * pack.rows - 1
        assert pack.start_ms // DAY == ends // DAY
    assert MIDNIGHT in [pack.start_ms for pack in packs]


def test_silence_on_all_channels_closes_a_pack_early() -> None:
    """What was measured before the bed fell silent is not kept waiting."""
    grid = minute()
    assert not packed(
        grid,
        reading(NOON),
        reading(NOON + 9_000, 97, "spo2"),
        now=NOON + 38_999,
    )
    (pack,) = grid.due((NOON + 39_000) * 1_000_000)
    assert (pack.start_ms, pack.rows) == (NOON, 10)
    grid.add(reading(NOON + 9_500))
    assert grid.late == {"hr": 1}
    (pack,) = packed(grid, reading(NOON + 50_000), now=NOON + 60_000)
    assert (pack.start_ms, pack.rows) == (NOON + 50_000, 10)


def test_a_slow_sensor_is_not_silent_between_two_readings() -> None:
    """Glucose comes every five minutes; ten without are silence."""
    grid = Grid(BED_1.group(4), 3_600_000)
    assert not packed(grid, reading(NOON, 110, "glu"), now=NOON + 599_000)
    (pack,) = grid.due((NOON + 600_000) * 1_000_000)
    assert (pack.start_ms, pack.rows, pack.columns) == (NOON, 1, {0: [110]})


def test_a_row_longer_than_its_pack_makes_nothing_late() -> None:
    """Packs of a minute hold one reading of five minutes each."""
    grid = Grid(BED_1.group(4), 60_000)
    packs = packed(grid, reading(NOON + 9_000, 110, "glu"), now=NOON + 60_000)
    packs += packed(grid, reading(NOON + 69_000, 111, "glu"), now=NOON + 69_001)
    packs += grid.close()
    starts = [(pack.start_ms - NOON, pack.rows) for pack in packs]
    assert starts == [(0, 1), (60_000, 1)]
    assert not grid.late


def test_a_shutdown_loses_nothing() -> None:
    """The open packs come out, each up to its last reading."""
    grid = minute()
    grid.add(reading(NOON + 3_000))
    grid.add(reading(NOON + 61_000))
    packs = grid.close()
    starts = [(pack.start_ms - NOON, pack.rows) for pack in packs]
    assert starts == [(0, 4), (61_000, 1)]
    assert not grid.close()


def test_another_groups_vital_is_refused() -> None:
    """A reading is not lost without a word."""
    with pytest.raises(UnknownVitalError):
        minute().add(reading(NOON, vital="glu", value=110))


def test_a_length_with_more_rows_than_the_group_may_is_refused() -> None:
    """Where the gateway starts, not where a pack first overflows."""
    with pytest.raises(ValueError, match="more rows"):
        Grid(BED_1.group(0), 3_601_000)
    with pytest.raises(ValueError, match="more rows"):
        Grid(BED_1.group(0), 0)


def test_a_rate_that_no_millisecond_divides_does_not_drift() -> None:
    """Row i of 360 Hz is at ⌊1000·i/360⌋ ms, and there it comes back."""
    wave = channel("ecg2", ref="0", offset=-2048)
    fast = Group(id=1, kind=1, period=(1, 360), max_rows=4000, channels=(wave,))
    grid = Grid(fast, 10_000)
    for row in range(3001):
        at = NOON * 1_000_000 + -(-row * 1_000_000_000 // 360)
        grid.add(Reading(vital="ecg2", at=at, value=Decimal(row) / 200 - 10))
    (pack,) = grid.close()
    assert pack.columns[0][:3001] == list(range(48, 3049))
    assert fast.after(3600) == 10_000
    assert [fast.after(row) for row in (1, 2, 3)] == [2, 5, 8]


def test_an_instant_has_its_slot() -> None:
    """Day, ten-second slot, and the milliseconds that stay inside the ciphertext."""
    assert place(0) == (0, 0, 0)
    assert place(NOON + 10_417) == (20_514, 4_321, 417)
    assert place(MIDNIGHT - 1) == (20_514, 8_639, 9_999)


SECONDS = st.dictionaries(
    st.integers(0, 59), st.tuples(st.integers(20, 250), st.integers(40, 100))
)


@given(SECONDS.filter(bool), st.integers(0, 999))
def test_readings_come_back_from_the_packet(
    seconds: dict[int, tuple[int, int]], phase: int
) -> None:
    """Grid, table, bytes, table, readings: each at its row's time, and no other."""
    grid = Grid(ICU_1.group(0), 60_000)
    for second, (hr, spo2) in seconds.items():
        grid.add(reading(NOON + 1000 * second + phase, hr))
        grid.add(reading(NOON + 1000 * second + phase, spo2, "spo2"))
    (pack,) = grid.due((NOON + 60_000) * 1_000_000)
    epoch, slot, offset = place(pack.start_ms)
    plain = sr1.encode(ICU_1.group(0), offset, pack.rows, pack.columns)
    back = rows_of(sr1.decode(ICU_1, plain), ICU_1, epoch, slot)
    assert back == [
        entry
        for second, (hr, spo2) in sorted(seconds.items())
        for entry in (
            (NOON + 1000 * second, "hr", Decimal(hr)),
            (NOON + 1000 * second, "spo2", Decimal(spo2)),
        )
    ]


def test_a_derived_table_is_stamped_by_its_source() -> None:
    """Not by the day on which a worker made it."""
    source = sr1.Source("k3v9q0d2m7x5c1p8r4t6w0y2za", 20_514, 4_320)
    plain = sr1.encode(BED_1.group(8), 0, 1, {0: [60], 1: [725]}, source=source)
    table = sr1.decode(BED_1, plain, derived=True)
    assert rows_of(table, BED_1, 20_600, 5) == [
        (NOON, "hr.n", Decimal(60)),
        (NOON, "hr.mean", Decimal("72.5")),
    ]
