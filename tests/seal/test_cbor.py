"""One content has one encoding, and only that one is read."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealward.seal import cbor
from sealward.seal.cbor import MalformedError, TrailingError

SCALARS = (
    st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=30)
    | st.text(max_size=30)
    | st.booleans()
    | st.none()
)
KEYS = st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=9) | st.text(max_size=9)
ITEMS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=20,
)


@given(ITEMS)
def test_what_is_written_is_read(item: object) -> None:
    """Encoding and decoding are each other's inverse."""
    data = cbor.encode(item)
    assert cbor.decode(data) == item
    assert cbor2.loads(data) == item


@given(st.binary(max_size=40))
def test_what_is_read_has_no_other_form(data: bytes) -> None:
    """Whatever is taken encodes to the very bytes it came from; no other error."""
    try:
        item = cbor.decode(data)
    except MalformedError:
        return
    assert cbor.encode(item) == data


@pytest.mark.parametrize(
    "data",
    [
        "",
        "1817",  # 23 in two bytes
        "190017",
        "1a0000ffff",
        "1b00000000ffffffff",
        "5800",
        "9fff",  # indefinite array
        "5f4100ff",
        "1c",  # reserved
        "f90000",  # a float
        "fb3ff0000000000000",
        "f7",  # undefined
        "f818",
        "e0",
        "a201000100",  # a key twice
        "a202000100",  # keys out of order
        "a1f500",  # a key that is no number or string
        "a18000",
        "8201",  # too short
        "42ff",
        "62c328",  # not UTF-8
        "9bffffffffffffffff",  # an array as long as its length claims
        "5bffffffffffffffff",
        "c2",
    ],
)
def test_any_other_form_is_refused(data: str) -> None:
    """RFC 8949 §4.2.1: shortest heads, definite lengths, sorted keys."""
    with pytest.raises(MalformedError):
        cbor.decode(bytes.fromhex(data))


def test_what_follows_the_item_is_refused() -> None:
    """A general decoder would ignore it."""
    assert cbor2.loads(b"\x01\x00") == 1
    with pytest.raises(TrailingError):
        cbor.decode(b"\x01\x00")


def test_depth_and_size_have_an_end() -> None:
    """A stranger's nesting must not exhaust the stack."""
    cbor.decode(b"\x81" * 18 + b"\x00")
    for prefix in (b"\x81", b"\xd8\x60", b"\xa1\x00"):
        with pytest.raises(MalformedError):
            cbor.decode(prefix * 19 + b"\x00")
    with pytest.raises(MalformedError):
        cbor.decode(bytes(64 * 1024 + 1))


def test_keys_are_sorted_by_their_bytes() -> None:
    """RFC 8949, not RFC 7049: a long number comes before a short text."""
    data = cbor.encode({"a": 1, -70001: 2, 5: 3})
    assert data.hex() == "a305033a0001117002616101"
    assert cbor.decode(data) == {5: 3, -70001: 2, "a": 1}


def test_nothing_else_is_written() -> None:
    """A float has many encodings, and a set no order."""
    for item in (1.0, {1, 2}, object(), [b"x", 2.5]):
        with pytest.raises(TypeError):
            cbor.encode(item)


def test_tags_pass_unread() -> None:
    """A tag's meaning is its reader's; none is acted upon here."""
    item = cbor.decode(bytes.fromhex("d82301"))
    assert isinstance(item, cbor2.CBORTag)
    assert (item.tag, item.value) == (35, 1)
    assert cbor.encode(item).hex() == "d82301"


def test_a_reader_takes_what_it_was_told() -> None:
    """Each method refuses what is not there."""
    reader = cbor.Reader(cbor.encode([1, -70001, b"ab", "word", None, True]))
    assert reader.array(6) == 6
    for wrong in (
        lambda: cbor.Reader(b"\x05").uint(5),
        lambda: cbor.Reader(b"\x05").integer(6),
        lambda: cbor.Reader(b"\x41a").blob(2),
        lambda: cbor.Reader(b"\x42ab").blob(most=1),
        lambda: cbor.Reader(b"\x62ab").text(1),
        lambda: cbor.Reader(b"\x62ab").word("ac"),
        lambda: cbor.Reader(b"\x81\x00").array(2),
        lambda: cbor.Reader(b"\x82\x00\x00").array(most=1),
        lambda: cbor.Reader(b"\xa1\x00\x00").map(0),
        lambda: cbor.Reader(b"\xd2\x00").tag(16),
        lambda: cbor.Reader(b"\x00").blob(),
    ):
        with pytest.raises(MalformedError):
            wrong()
    reader.integer(1)
    reader.integer(-70001)
    assert reader.blob(2) == b"ab"
    reader.word("word")
    assert reader.nothing()
    assert not reader.nothing()
    assert reader.item() is True
    reader.end()
