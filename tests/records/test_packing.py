"""Rows are packed as PostgreSQL reads them (binary COPY, PostgreSQL 15, COPY)."""

from hypothesis import given
from hypothesis import strategies as st

from sealward.records import ingest


@given(
    st.integers(1, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 40_000),
    st.binary(max_size=300),
)
def test_a_row_tells_its_number(cred: int, seq: int, epoch: int, body: bytes) -> None:
    """What is halved, or refused, is named by the packed row itself."""
    packed = ingest.row(cred, seq, epoch, 0, 0, body)
    assert ingest.number(packed) == (cred, seq, epoch)
    assert packed.endswith(body)


def test_dates_and_times_count_from_2000() -> None:
    """The bytes of one row, by hand: day 1, one millisecond after midnight."""
    packed = ingest.row(7, 8, 10_958, 6, 946_684_800_001, b"x")
    assert packed.hex(" ", -4).replace(" ", "") == (
        "0006"
        "000000080000000000000007"
        "000000080000000000000008"
        "0000000400000001"
        "000000020006"
        "0000000800000000000003e8"
        "0000000178"
    )  # fmt: skip
