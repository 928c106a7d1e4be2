"""Marks against what they stand for: the plain set of numbers that were stored."""

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sealward.intake.marks import RANGES, WINDOW, Mark


def body(seq: int) -> bytes:
    """Return the packet that number *seq* stands for here."""
    return b"packet %d" % seq


class Marks(RuleBasedStateMachine):
    """Numbers are stored in any order, again, and after a start that forgets."""

    def __init__(self) -> None:
        super().__init__()
        self.mark = Mark()
        self.stored: set[int] = set()  # what the database has
        self.known: set[int] = set()  # what memory may know of it

    def upto(self) -> int:
        """Return the smallest number that is not stored, of those known."""
        return next(n for n in range(len(self.known) + 1) if n not in self.known)

    @rule(seq=st.integers(0, 40))
    def store(self, seq: int) -> None:
        """Commit a packet, perhaps for the second time."""
        self.mark.stored(seq, body(seq))
        self.stored.add(seq)
        self.known.add(seq)

    @rule(first=st.integers(0, 40), count=st.integers(1, 20))
    def store_many(self, first: int, count: int) -> None:
        """Commit a batch."""
        for seq in range(first, first + count):
            self.store(seq)

    @rule()
    def start_anew(self) -> None:
        """Start anew: the mark is counted from the database, nothing above it."""
        upto = next(n for n in range(len(self.stored) + 1) if n not in self.stored)
        self.mark = Mark(upto, sha256(body(upto - 1)).digest() if upto else b"")
        self.known = set(range(upto))

    @invariant()
    def knows_what_was_stored(self) -> None:
        """Check that no number that is not stored is taken for a repeat."""
        for seq in range(64):
            assert self.mark.knows(seq) == (seq in self.known)
        assert self.known <= self.stored

    @invariant()
    def says_what_a_receipt_may(self) -> None:
        """Check that upto, digest and ranges are what is stored and known."""
        upto = self.upto()
        assert self.mark.upto == upto
        assert self.mark.digest == (sha256(body(upto - 1)).digest() if upto else b"")
        ranges = self.mark.ranges()
        named = {n for first, last in ranges for n in range(first, last + 1)}
        assert len(ranges) <= RANGES
        assert named <= self.known
        if len(ranges) < RANGES:
            assert named == {n for n in self.known if n > upto}
        assert all(a <= b for a, b in ranges)
        ends = [last for _, last in ranges[:-1]]
        assert all(
            first > last + 1 for last, (first, _) in zip(ends, ranges[1:], strict=True)
        )


TestMarks = Marks.TestCase
TestMarks.settings = settings(max_examples=40, stateful_step_count=30)


@given(st.permutations(range(50)))
def test_the_order_of_arrival_does_not_matter(order: list[int]) -> None:
    """Whole is whole, whatever came first."""
    mark = Mark()
    for seq in order:
        mark.stored(seq, body(seq))
    assert (mark.upto, mark.ranges(), mark.above) == (50, [], set())
    assert mark.digest == sha256(body(49)).digest()


def test_memory_has_an_end() -> None:
    """Numbers far above a hole are forgotten, the furthest first; none below is."""
    mark = Mark()
    for seq in range(1, WINDOW + 101):
        mark.stored(seq, b"")
    assert len(mark.above) == WINDOW
    assert mark.knows(WINDOW)
    assert not mark.knows(WINDOW + 100)
    assert not mark.knows(0)
    mark.stored(0, b"")
    assert mark.upto == WINDOW + 1
    assert mark.ranges() == []


def test_a_receipt_names_no_more_ranges_than_it_may() -> None:
    """Every second number stored: the lowest ranges are named, the rest later."""
    mark = Mark()
    for seq in range(1, 4 * RANGES, 2):
        mark.stored(seq, b"")
    assert mark.ranges() == [(seq, seq) for seq in range(1, 2 * RANGES, 2)]
    mark.stored(0, b"")
    assert mark.upto == 2
    assert mark.ranges()[0] == (3, 3)
