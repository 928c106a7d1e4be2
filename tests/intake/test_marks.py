"""A mark knows what was stored, no more, in whatever order it came."""

from hashlib import sha256
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sealward.intake.marks import RANGES, WINDOW, Mark

NUMBERS = st.lists(st.integers(0, 120), max_size=80)


def body(seq: int) -> bytes:
    """Return the packet of number *seq*."""
    return b"packet %d" % seq


def marked(numbers: list[int]) -> Mark:
    """Return a mark at which *numbers* were stored, in this order."""
    mark = Mark()
    for seq in numbers:
        mark.stored(seq, body(seq))
    return mark


@given(NUMBERS)
def test_it_knows_what_was_stored_and_nothing_else(numbers: list[int]) -> None:
    """Whatever the order, and however often a number comes."""
    mark = marked(numbers)
    assert {seq for seq in range(200) if mark.knows(seq)} == set(numbers)


@given(NUMBERS)
def test_all_below_it_is_stored_and_its_own_number_is_not(numbers: list[int]) -> None:
    """And the digest is that of the last packet below it: what a receipt shows."""
    mark = marked(numbers)
    assert set(range(mark.upto)) <= set(numbers)
    assert mark.upto not in numbers
    last = sha256(body(mark.upto - 1)).digest() if mark.upto else b""
    assert mark.digest == last


@given(NUMBERS)
def test_its_ranges_are_what_lies_above(numbers: list[int]) -> None:
    """Rising, apart from each other, and 32 at most: a receipt can carry them."""
    mark = marked(numbers)
    ranges = mark.ranges()
    told = {seq for first, last in ranges for seq in range(first, last + 1)}
    above = {seq for seq in numbers if seq > mark.upto}
    assert told <= above
    assert told == above or len(ranges) == RANGES
    assert all(first <= last for first, last in ranges)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(ranges))
    assert not ranges or ranges[0][0] > mark.upto


@given(st.integers(1, 50), NUMBERS)
def test_it_goes_on_from_what_the_database_counted(
    upto: int, numbers: list[int]
) -> None:
    """After a start the digest is asked for once, and then its own again."""
    mark = Mark(upto, sha256(body(upto - 1)).digest())
    for seq in numbers:
        mark.stored(seq, body(seq))
    known = {*range(upto), *numbers}
    assert {seq for seq in range(200) if mark.knows(seq)} == known
    assert mark.digest == sha256(body(mark.upto - 1)).digest()


def test_who_leaves_a_hole_does_not_fill_the_memory() -> None:
    """Above the window the furthest is forgotten; the database still knows it."""
    mark = marked([*range(1, WINDOW + 500)])
    assert mark.upto == 0
    assert len(mark.above) == WINDOW
    assert not mark.knows(WINDOW + 499)
    mark.stored(0, body(0))
    assert mark.upto == WINDOW + 1
    assert mark.digest == sha256(body(WINDOW)).digest()
