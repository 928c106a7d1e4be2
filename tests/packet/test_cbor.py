"""Deterministic CBOR is written as others write it, and no other CBOR is read."""

import math
from contextlib import suppress

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealward.packet import cbor
from sealward.packet.octets import CodecError

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary(max_size=300)
    | st.text(max_size=30)
)
KEYS = st.integers(-300, 300) | st.text(max_size=5)
ITEMS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=30) | st.dictionaries(KEYS, inner, max_size=30)
    ),
    max_leaves=40,
)


@given(ITEMS)
def test_it_is_what_another_implementation_writes(item: object) -> None:
    """And what that one writes is read."""
    coded = cbor.dumps(item)
    assert cbor2.loads(coded) == item
    with suppress(CodecError):  # beyond eight levels
        again = cbor.loads(coded)
        assert again == item
        assert cbor.dumps(again) == coded


@pytest.mark.parametrize(
    ("item", "coded"),
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (256, "190100"),
        (-1, "20"),
        (-257, "390100"),
        ((1 << 64) - 1, "1bffffffffffffffff"),
        (1.5, "f93e00"),
        (-0.0, "f98000"),
        (100000.0, "fa47c35000"),
        (0.1, "fb3fb999999999999a"),
        ({10: 1, 100: 2, -1: 3, "z": 4, "aa": 5}, "a50a011864022003617a0462616105"),
    ],
)
def test_heads_and_keys_are_those_of_the_rfc(item: object, coded: str) -> None:
    """RFC 8949, appendix A and §4.2.1."""
    assert cbor.dumps(item).hex() == coded
    assert cbor.loads(bytes.fromhex(coded)) == item


@pytest.mark.parametrize(
    "coded",
    [
        "",
        "1817",
        "190017",
        "1a00001818",
        "1b0000000000000001",
        "18",
        "5818",
        "1c",
        "5f4100ff",
        "9f01ff",
        "bf0101ff",
        "c100",
        "d81800",
        "62c328",
        "6261",
        "8201",
        "a10100a1",
        "a202000100",
        "a201000100",
        "a1f500",
        "a1800000",
        "a14100",
        "f6f6",
        "f7",
        "f820",
        "f97e00",
        "f97c00",
        "fa3fc00000",
        "fb3ff8000000000000",
        "fb3ff8",
        "ff",
        "9bffffffffffffffff",
        "81" * 9 + "00",
        "81" * 100_000,
    ],
)
def test_every_other_form_is_refused(coded: str) -> None:
    """Overlong, indefinite, tagged, out of order, double, deep, infinite."""
    with pytest.raises(CodecError):
        cbor.loads(bytes.fromhex(coded))


@given(st.binary(max_size=60))
def test_what_is_read_is_written_the_same(data: bytes) -> None:
    """So that a digest of the bytes is a digest of the meaning."""
    with suppress(CodecError):
        assert cbor.dumps(cbor.loads(data)) == data


@pytest.mark.parametrize("item", [{1}, object(), [object()], 1j])
def test_what_has_no_form_is_not_written(item: object) -> None:
    """A set or an object has no place in a packet."""
    with pytest.raises(TypeError):
        cbor.dumps(item)


@pytest.mark.parametrize("item", [1 << 64, -(1 << 64) - 1, math.inf, math.nan])
def test_numbers_beyond_the_form_are_not_written(item: float) -> None:
    """No tag for big integers, and no float that is no number."""
    with pytest.raises(ValueError, match=r"64 bits|finite"):
        cbor.dumps(item)
