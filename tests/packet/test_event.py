"""Events and alarms have one form, and a length that tells nothing."""

from contextlib import suppress

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealward.packet import event
from sealward.packet.octets import CodecError

NOON = 52_200_417  # ms of the day
# The plaintexts of the specification's alarm packet and of its critical frame.
PACKET = (
    "84011a031c83e16861737973746f6c65a1028219040058204595695141f9c99ac9a71748c65a122f"
    "1436f5f5e866694b69310eebf7a395018000000000000000"
)
FRAME = "84011a031c83e16861737973746f6c65a0"
DIGEST = bytes.fromhex(
    "4595695141f9c99ac9a71748c65a122f1436f5f5e866694b69310eebf7a39501"
)


def test_an_alarm_is_written_as_specified() -> None:
    """On the ordinary channel with padding, on the critical one without."""
    assert event.encode("asystole", NOON, {2: [1024, DIGEST]}).hex() == PACKET
    assert event.encode("asystole", NOON, {}, padded=False).hex() == FRAME
    read = event.decode(bytes.fromhex(PACKET))
    assert (read.code, read.at_ms, read.details) == (
        "asystole",
        NOON,
        {2: [1024, DIGEST]},
    )
    assert event.decode(bytes.fromhex(FRAME), padded=False).details == {}


@given(st.from_regex("[a-z][a-z0-9_.-]{0,30}", fullmatch=True))
def test_no_code_shows_in_the_length(code: str) -> None:
    """64 bytes, whatever happened."""
    assert len(event.encode(code, 0, {})) == 64


DETAILS = st.dictionaries(
    st.integers(0, 99),
    st.integers(-9, 1 << 40) | st.text() | st.binary() | st.lists(st.floats(0, 1)),
    max_size=9,
)


@given(at_ms=st.integers(0, event.DAY - 1), details=DETAILS, padded=st.booleans())
def test_an_event_comes_back(
    *, at_ms: int, details: dict[int, object], padded: bool
) -> None:
    """With every detail."""
    plain = event.encode("late", at_ms, details, padded=padded)
    read = event.decode(plain, padded=padded)
    assert (read.code, read.at_ms, read.details) == ("late", at_ms, details)


@pytest.mark.parametrize(
    ("code", "at_ms", "details"),
    [
        ("", 0, {}),
        ("Late", 0, {}),
        ("l" * 65, 0, {}),
        ("late", -1, {}),
        ("late", event.DAY, {}),
        ("late", 0, {-1: 0}),
        ("late", 0, {True: 0}),
        ("late", 0, {1: bytes(5000)}),
    ],
)
def test_what_is_no_event_is_not_written(
    code: str, at_ms: int, details: dict[int, object]
) -> None:
    """A slip of ours is found where it is made."""
    with pytest.raises(ValueError, match=r"an event|details"):
        event.encode(code, at_ms, details)


@pytest.mark.parametrize(
    "item",
    [
        [2, 0, "late", {}],
        [True, 0, "late", {}],
        [1, False, "late", {}],
        [1, 0.5, "late", {}],
        [1, event.DAY, "late", {}],
        [1, 0, "Late", {}],
        [1, 0, b"late", {}],
        [1, 0, "late", []],
        [1, 0, "late", {"a": 1}],
        [1, 0, "late", {-1: 1}],
        [1, 0, "late"],
        {1: 0},
        "late",
    ],
)
def test_another_shape_is_refused(item: object) -> None:
    """Deterministic as it may be."""
    with pytest.raises(CodecError):
        event.decode(cbor2.dumps(item, canonical=True), padded=False)


def test_every_flipped_bit_is_refused_or_another_event() -> None:
    """The form leaves no bit without a meaning."""
    plain = bytes.fromhex(PACKET)
    for place in range(8 * len(plain)):
        flipped = bytearray(plain)
        flipped[place >> 3] ^= 1 << (place & 7)
        with suppress(CodecError):
            read = event.decode(bytes(flipped))
            again = event.encode(read.code, read.at_ms, read.details)
            assert again == bytes(flipped)


def test_too_much_is_refused_unread() -> None:
    """4 KiB are the most."""
    with pytest.raises(CodecError):
        event.decode(bytes(event.LARGEST + 1))
    with pytest.raises(CodecError):
        event.decode(bytes.fromhex(FRAME) + b"\x00", padded=False)
