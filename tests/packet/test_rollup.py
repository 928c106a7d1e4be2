"""A rollup says how many, how much and how far, in whole numbers."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from sealward.packet import rollup, sr1
from sealward.packet.profile import BED_1

HR, SKIN = BED_1.group(0).channels[0], BED_1.group(0).channels[3]


def test_a_period_is_reduced_as_specified() -> None:
    """Mean in tenths, a half upwards; the span from the mean's floor."""
    assert rollup.reduced(HR, [72, None, 73, 75]) == (3, 733, 1, 2)
    assert rollup.reduced(SKIN, [3349, 3350]) == (2, 3350, 1, 0)
    assert rollup.reduced(HR, [None, None]) == (0, None, None, None)


@given(st.lists(st.integers(HR.lo, HR.hi), min_size=1, max_size=60))
def test_the_extremes_are_exact_and_the_mean_is_nearest(raws: list[int]) -> None:
    """What a trend shows was measured."""
    count, mean, below, above = rollup.reduced(HR, raws)
    assert mean is not None
    assert below is not None
    assert above is not None
    floor = mean // HR.mul
    assert (floor - below, floor + above) == (min(raws), max(raws))
    assert abs(Fraction(sum(raws) * HR.mul, count) - mean) <= Fraction(1, 2)


def test_a_rollup_is_a_table() -> None:
    """Its columns fit the profile's group, a silent period being a gap."""
    periods: list[dict[int, list[int | None]]] = [
        {0: [72] * 60, 1: [97] * 59 + [None]},
        {},
        {0: [250] * 60, 3: [1000]},
    ]
    columns = rollup.columns(BED_1.group(0), periods)
    table = sr1.decode(BED_1, sr1.encode(BED_1.group(8), 0, 3, columns))
    assert table.columns[0] == [60, 0, 60]
    assert table.columns[1] == [720, None, 2500]
    assert table.columns[4] == [59, 0, 0]
    assert table.columns[13] == [None, None, 1000]
