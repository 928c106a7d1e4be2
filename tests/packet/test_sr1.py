"""What is encoded comes back; what is not an encoding is refused, and cheaply."""

import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealward.packet import rice, sr1
from sealward.packet.octets import leb, padme, unleb, unzigzag, zigzag
from sealward.packet.profile import BED_1, Channel, Group, OffScaleError

LOW, HIGH = -(1 << 31), (1 << 31) - 1
INT32 = st.one_of(
    st.integers(LOW, HIGH), st.integers(-3, 3), st.sampled_from([LOW, HIGH, 0])
)


def group(*orders: int, rows: int = 1000, ref: int = 0) -> Group:
    """Return a group with a channel of int32 for each of *orders*."""
    channels = tuple(
        Channel(code=f"c{n}", ucum="1", ref=ref, order=order, lo=LOW, hi=HIGH)
        for n, order in enumerate(orders)
    )
    return Group(id=3, kind=0, period=(1, 1), max_rows=rows, channels=channels)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Group, int, int, dict[int, list[int | None]]]:
    """Draw a group, and a table of it with gaps, jumps and constant stretches."""
    orders = draw(st.lists(st.integers(0, 2), min_size=1, max_size=10))
    rows = draw(st.integers(1, 200))
    columns = {}
    for number in draw(st.sets(st.integers(0, len(orders) - 1))):
        runs = draw(st.lists(st.tuples(INT32 | st.none(), st.integers(1, 90))))
        column = [value for value, count in runs for _ in range(count)][:rows]
        filler = draw(st.lists(INT32 | st.none(), max_size=8)) or [None]
        column += [filler[n % len(filler)] for n in range(rows - len(column))]
        columns[number] = column
    ref = draw(st.sampled_from([0, 75, LOW, HIGH]))
    return group(*orders, ref=ref), draw(st.integers(0, 9999)), rows, columns


@given(drawn=tables(), padded=st.booleans())
def test_a_table_comes_back_as_it_was(
    *, drawn: tuple[Group, int, int, dict[int, list[int | None]]], padded: bool
) -> None:
    """Over all orders, gaps, extremes and constant stretches."""
    kind, offset, rows, columns = drawn
    plain = sr1.encode(kind, offset, rows, columns, padded=padded)
    table = sr1.decode(lambda _: kind, plain, padded=padded)
    assert (table.group, table.offset, table.rows) == (3, offset, rows)
    assert table.columns == {
        number: column
        for number, column in columns.items()
        if any(value is not None for value in column)
    }


MINUTE: dict[int, list[int | None]] = {
    0: [72 + n * n % 5 for n in range(60)],
    1: [97] * 60,
    2: [None if 20 < n < 31 else 14 + n // 9 % 3 for n in range(60)],
    3: [3349 + n * 7 % 13 for n in range(60)],
}


@pytest.mark.parametrize("padded", [True, False])
def test_a_flipped_bit_is_refused_or_means_another_table(*, padded: bool) -> None:
    """Nothing is decoded that could not be encoded, and nothing else breaks."""
    plain = sr1.encode(BED_1.group(0), 417, 60, MINUTE, padded=padded)
    refused = 0
    for place in range(8 * len(plain)):
        flipped = bytearray(plain)
        flipped[place >> 3] ^= 1 << (place & 7)
        try:
            table = sr1.decode(BED_1, bytes(flipped), padded=padded)
        except sr1.CodecError:
            refused += 1
            continue
        kind = BED_1.group(table.group)
        again = sr1.encode(kind, table.offset, table.rows, table.columns, padded=padded)
        assert sr1.decode(BED_1, again, padded=padded) == table
        assert again != plain
    assert refused > len(plain)  # of 8 * len; the rest are other readings


@pytest.mark.parametrize("padded", [True, False])
def test_a_truncated_table_is_refused(*, padded: bool) -> None:
    """No shorter beginning is a table of its own."""
    plain = sr1.encode(BED_1.group(0), 417, 60, MINUTE, padded=padded)
    for length in range(len(plain)):
        with pytest.raises(sr1.CodecError):
            sr1.decode(BED_1, plain[:length], padded=padded)


@given(data=st.binary(max_size=200), padded=st.booleans(), derived=st.booleans())
def test_random_bytes_are_refused_and_nothing_else(
    *, data: bytes, padded: bool, derived: bool
) -> None:
    """A parser has one exception."""
    version = 0x20 if derived else 0x10
    for start in (b"", bytes([version]), bytes([version, 0, 60, 15, 0])):
        with suppress(sr1.CodecError):
            sr1.decode(BED_1, start + data, padded=padded, derived=derived)


# Four rows of one channel with gaps: runs, then what a right table would go on with.
@pytest.mark.parametrize(
    ("body", "whole"),
    [
        ("020102000080", False),
        ("020200004080", True),
        ("040000e080", False),
        ("0004000080", False),
        ("0200020000e080", False),
        ("00000301000080", False),
        ("0203000080", False),
        ("0201", False),
        ("0202808080808040004080", False),
        ("020200004180", False),
        ("020200014080", False),
        ("020200f023000000000080", False),
    ],
)
def test_runs_and_columns_have_one_form(body: str, whole: bool) -> None:  # noqa: FBT001
    """No gap, no value, an empty run, rows too many, a stray bit: refused."""
    plain = bytes.fromhex("1300040101" + body)
    if whole:
        table = sr1.decode(lambda _: group(1), plain, padded=False)
        assert table.columns == {0: [0, -1, None, None]}
    else:
        with pytest.raises(sr1.CodecError):
            sr1.decode(lambda _: group(1), plain, padded=False)


def test_a_difference_beyond_34_bits_is_refused() -> None:
    """A quotient of 2**20 over 14 low bits, longer than any packet."""
    column = b"\x00\xe0" + bytes((14 + (1 << 20)) // 8) + b"\x02"
    with pytest.raises(sr1.CodecError, match="out of its range"):
        rice.decoded(rice.Stream.of(column), 0, 2, group(1).channels[0])


def peak(kind: Group, data: bytes) -> int:
    """Return the most bytes held while *data*, which is refused, is decoded."""
    tracemalloc.start()
    with pytest.raises(sr1.CodecError):
        sr1.decode(lambda _: kind, data)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_rows_cost_nothing_before_their_bytes_are_there() -> None:
    """A head that promises 65 536 rows in 8 bytes reserves no room for them."""
    kind = group(1, rows=65_536)
    head = b"\x13\x00" + leb(65_536) + b"\x01\x00"
    assert peak(kind, head + b"\x00\x00") < 100_000


def test_memory_is_bounded_by_bytes_and_cells() -> None:
    """64 KiB of zeros, an endless quotient, and a bomb of empty blocks stay small."""
    kind = group(*[1] * 16, rows=65_536)
    head = b"\x13\x00" + leb(65_536) + b"\xff\xff\x00\x00"
    zeros = head + bytes(60_000)
    assert peak(kind, zeros) < 16 * len(zeros) + 5_000_000
    column = b"\x00" + b"\xff" * 512 + bytes(1024)  # 1024 raw blocks of no width
    cells = 16 * 65_536
    assert peak(kind, head + 16 * column) < 24 * cells


class Counted(bytes):
    """Bits that count how many of them are cut out."""

    cut = 0

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - bytes has overloads
        piece = super().__getitem__(key)
        type(self).cut += len(range(len(self))[key])
        return piece


def test_the_work_is_linear() -> None:
    """Four times the rows in four times the bytes are read from as many slices."""
    costs = []
    channel = group(1).channels[0]
    for rows in (4_000, 16_000):
        column = rice.coded([n * n % 9973 for n in range(rows)], channel)
        stream = rice.Stream.of(column)
        Counted.cut = 0
        rice.decoded(stream._replace(bits=Counted(stream.bits)), 0, rows, channel)
        costs.append(Counted.cut)
    assert costs[1] < 4.2 * costs[0]


def test_what_the_encoder_cannot_write_it_refuses() -> None:
    """A raw value off the scale, a row too many, a channel too many."""
    kind = BED_1.group(0)
    with pytest.raises(OffScaleError):
        sr1.encode(kind, 0, 1, {0: [19]})
    for offset, rows, columns in (
        (10_000, 1, {0: [72]}),
        (0, 0, {}),
        (0, 3601, {}),
        (0, 2, {0: [72]}),
        (0, 1, {4: [72]}),
    ):
        with pytest.raises(ValueError, match="cannot have"):
            sr1.encode(kind, offset, rows, columns)
    for source in (("k3v9q0d2m7x5c1p8r4t6w0y2zA", 1, 1), ("abc", 1, 1)):
        with pytest.raises(ValueError, match="cannot have"):
            sr1.encode(kind, 0, 1, {}, source=source)


def test_a_group_that_the_profile_lacks_is_refused() -> None:
    """A table of another profile is not guessed at."""
    plain = sr1.encode(group(1), 0, 1, {0: [1]})
    with pytest.raises(sr1.CodecError):
        sr1.decode(lambda number: {0: group(1)}[number], plain)
    with pytest.raises(sr1.CodecError):
        sr1.decode(BED_1, b"\x1f" + plain[1:])


def test_a_workers_table_names_its_source() -> None:
    """Whose readings they were stands inside; a gateway cannot write one."""
    source = sr1.Source("k3v9q0d2m7x5c1p8r4t6w0y2za", 20_779, 360)
    plain = sr1.encode(BED_1.group(8), 0, 1, {0: [60]}, source=source)
    assert sr1.decode(BED_1, plain, derived=True).source == source
    with pytest.raises(sr1.CodecError):
        sr1.decode(BED_1, plain)


@given(st.integers(0, (1 << 42) - 1))
def test_an_integer_has_one_form(number: int) -> None:
    """Shorter is impossible, longer is refused."""
    coded = leb(number)
    assert unleb(coded, 0, number) == (number, len(coded))
    with pytest.raises(sr1.CodecError):
        unleb(coded[:-1] + bytes([coded[-1] | 0x80, 0]), 0, number)
    with pytest.raises(sr1.CodecError):
        unleb(coded, 0, number - 1)


@given(st.integers(LOW * 8, HIGH * 8))
def test_folding_is_undone(number: int) -> None:
    """Signs survive."""
    assert unzigzag(zigzag(number)) == number


@given(st.integers(0, 1 << 20))
def test_padding_costs_an_eighth_at_most_and_is_stable(length: int) -> None:
    """A padded length is its own padded length."""
    assert length <= padme(length) <= max(length + 1, length * 1.12)
    assert padme(padme(length)) == padme(length)
