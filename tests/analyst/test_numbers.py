"""Which packets a reader has told of: exact, whatever their order, and small."""

from hypothesis import given
from hypothesis import strategies as st

from sealward.analyst.process import Numbers


@given(st.lists(st.integers(0, 30)))
def test_numbers_are_as_a_set(told: list[int]) -> None:
    """They hold what was told and no more; what has no hole takes no room."""
    numbers = Numbers()
    for seq in told:
        numbers.add(seq)
    assert {seq for seq in range(40) if seq in numbers} == set(told)
    assert all(seq > numbers.upto for seq in numbers.beyond)
