"""A profile is one document, and its channels write values exactly."""

from decimal import Decimal
from fractions import Fraction

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealward.packet.profile import (
    BED_1,
    ICU_1,
    Channel,
    Group,
    OffScaleError,
    Profile,
    ProfileError,
    channel,
)
from sealward.vitals.table import VITALS

BOTH = pytest.mark.parametrize("profile", [BED_1, ICU_1], ids=lambda p: p.name)
# Readers pin these: a change here is a new version of the profile.
DIGESTS = {
    "bed-1": "b3d617a8a8a424ac8ea26c08b0bf8861e515b9ebe4fb0a14c21910937b70d824",
    "icu-1": "0e8590b6fed78b2a7f62e5bfc0260c00490aa3b8c3a48bc32093d370a9e6a10f",
}


@BOTH
def test_a_profile_comes_back_from_its_document(profile: Profile) -> None:
    """And another implementation writes the same deterministic CBOR."""
    document = profile.encode()
    assert Profile.decode(document) == profile
    assert cbor2.dumps(cbor2.loads(document), canonical=True) == document


@BOTH
def test_a_profile_never_changes_under_its_name(profile: Profile) -> None:
    """What was sealed under a digest stays readable."""
    assert profile.digest().hex() == DIGESTS[profile.name]


def test_the_default_profile_is_the_specified_one() -> None:
    """Reference values and orders are those of the packet's specification."""
    numerics = [(c.code, c.ref, c.order) for c in BED_1.group(0).channels]
    assert numerics == [
        ("hr", 75, 1),
        ("spo2", 97, 1),
        ("rr", 15, 1),
        ("tskin", 3400, 1),
    ]
    waves = [(BED_1.group(n).period, BED_1.group(n).channels[0]) for n in (1, 2, 3)]
    assert [(p, c.order) for p, c in waves] == [
        ((1, 250), 1),
        ((1, 125), 2),
        ((1, 125), 2),
    ]
    assert waves[0][1].ref == 2048
    assert BED_1.group(4).period == (300, 1)
    assert [BED_1.group(n).period for n in (8, 9)] == [(60, 1), (900, 1)]


@BOTH
def test_channels_take_code_unit_and_range_from_the_table(profile: Profile) -> None:
    """No profile repeats what the table says."""
    for group in profile.groups:
        for c in group.channels if group.of is None else ():
            row = VITALS[c.code]
            assert (c.value(c.lo), c.value(c.hi)) == (row.low, row.high)
            assert Decimal(c.num) / c.den == row.resolution
            assert c.mul == (10 if c.den == 1 else 1)


def test_a_rollup_has_four_columns_a_channel() -> None:
    """Count, mean, and the span below and above its floor, with bounds that follow."""
    rolled = BED_1.group(8).channels[:4]
    assert [c.code for c in rolled] == ["hr.n", "hr.mean", "hr.below", "hr.above"]
    assert [(c.ref, c.order, c.lo, c.hi) for c in rolled] == [
        (60, 1, 0, 60),
        (750, 1, 200, 2500),
        (0, 0, 0, 230),
        (0, 0, 0, 230),
    ]
    assert rolled[1].value(725) == Decimal("72.5")
    assert BED_1.group(9).channels[0].ref == 900


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (Decimal("36.604"), 3660),
        (Decimal("36.605"), 3661),
        (36.605, 3661),  # whose binary value lies below the half
        (36.6, 3660),
        (10, 1000),
        (45.004, 4500),
        (Decimal("9.995"), 1000),
    ],
)
def test_a_value_is_written_to_the_nearest_step(
    value: Decimal | float, raw: int
) -> None:
    """A half step goes away from zero, in decimal arithmetic."""
    assert channel("tskin", ref="34").raw(value) == raw


def test_half_a_step_below_zero_goes_down() -> None:
    """Away from zero, not upwards."""
    ecg = channel("ecg1", ref="0", offset=-2048)
    assert ecg.raw(Decimal("-0.0025")) == 2047
    assert ecg.raw(Decimal("0.0025")) == 2049
    assert ecg.raw(Decimal("1e-400")) == 2048
    assert ecg.value(48) == -10


@pytest.mark.parametrize(
    "value",
    [9.99, Decimal("45.005"), 1e300, Decimal("1e999999"), float("nan"), -float("inf")],
)
def test_what_does_not_fit_is_refused_not_clamped(value: Decimal | float) -> None:
    """A gap is honest, an edge value is not."""
    with pytest.raises(OffScaleError):
        channel("tskin", ref="34").raw(value)


@given(
    st.decimals(-1000, 1000, allow_nan=False, places=6),
    st.integers(1, 50),
    st.integers(1, 1000),
    st.integers(-5000, 5000),
)
def test_no_other_raw_value_is_nearer(
    value: Decimal, num: int, den: int, offset: int
) -> None:
    """Over steps that no decimal can hold, too."""
    c = Channel(
        code="c", ucum="1", num=num, den=den, offset=offset, lo=-(1 << 31), hi=1 << 30
    )
    raw = c.raw(value)
    away = abs(Fraction(value) - Fraction((raw + offset) * num, den))
    assert away * 2 <= Fraction(num, den)
    assert c.raw(c.value(raw)) == raw


def written(**change: object) -> bytes:
    """Return the document of a small profile with parts of it changed."""
    part: dict[str, object] = {
        "version": 1,
        "name": "p",
        "edition": 1,
        "id": 0,
        "kind": 0,
        "period": [1, 1],
        "rows": 60,
        "channels": [["hr", "/min", 1, 1, 0, 75, 1, 20, 250, 10]],
        "more": [],
    } | change
    group = [part[key] for key in ("id", "kind", "period", "rows", "channels")]
    more = part["more"]
    assert isinstance(more, list)
    outer = [part["version"], part["name"], part["edition"], [group, *more]]
    return cbor2.dumps(outer, canonical=True)


def one(*fields: object) -> list[list[object]]:
    """Return a list of one channel, those of hr with *fields* at its end."""
    usual: list[object] = ["hr", "/min", 1, 1, 0, 75, 1, 20, 250, 10]
    return [usual[: 10 - len(fields)] + list(fields)]


def test_the_small_profile_is_one() -> None:
    """What the next test breaks is whole before."""
    assert Profile.decode(written()).group(0).max_rows == 60


ROLLUP = [8, 2, [60, 1], 60, 0]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\x80",
        written() + b"\x00",
        written()[:-1],
        b"\x9f" + written()[1:] + b"\xff",
        written(version=2),
        written(version=True),
        written(name=""),
        written(name="p" * 65),
        written(edition=True),
        written(edition=-1),
        written(edition=1.0),
        written(id=16),
        written(kind=3),
        written(period=[0, 1]),
        written(period=[1, 0]),
        written(period=[1, 1, 1]),
        written(rows=0),
        written(rows=65_537),
        written(channels=[]),
        written(channels=one() * 2),
        written(channels=one()[0]),
        written(kind=2),
        written(channels=0),
        written(channels=[["pulse", *one()[0][1:]]]),
        written(channels=[["hr", "bpm", *one()[0][2:]]]),
        written(channels=[one()[0][:-1]]),
        written(channels=one(0)),
        written(channels=one(10.0)),
        written(channels=one(*[True])),
        written(channels=one(251, 250, 10)),
        written(channels=one(3, 20, 250, 10)),
        written(channels=one(20, 1 << 31, 10)),
        written(channels=one(1, 0, 0, 75, 1, 20, 250, 10)),
        written(more=[[0, 0, [1, 1], 60, one()]]),
        written(more=[[8, 2, [60, 1], 60, 1]]),
        written(more=[[8, 2, [1, 2], 60, 0]]),
        written(more=[[8, 2, [3, 2], 60, 0]]),
        written(more=[[8, 0, [60, 1], 60, 0]]),
        written(more=[ROLLUP, [9, 2, [900, 1], 96, 8]]),
        written(more=[ROLLUP], channels=one(0, 1 << 28, 10)),
        cbor2.dumps(cbor2.CBORTag(24, written())),
        b"\x81" * 100_000,
    ],
)
def test_what_is_no_profile_is_refused(document: bytes) -> None:
    """Out of order, out of range, or of another shape."""
    with pytest.raises(ProfileError):
        Profile.decode(document)


@given(st.binary(max_size=64), st.integers(0, 200), st.integers(0, 255))
def test_a_damaged_profile_is_refused_or_another(
    data: bytes, place: int, byte: int
) -> None:
    """No damage breaks the reader, and none leaves the digest as it was."""
    document = bytearray(ICU_1.encode())
    document[min(place, len(document) - 1)] = byte
    for damaged in (data, bytes(document)):
        try:
            profile = Profile.decode(damaged)
        except ProfileError:
            continue
        assert profile.encode() == damaged


def test_a_group_is_asked_for_by_number() -> None:
    """What is not there is refused by name."""
    with pytest.raises(ProfileError):
        BED_1.group(5)
    assert (
        Group(
            id=1,
            kind=1,
            period=(1, 360),
            max_rows=9,
            channels=(channel("acc", ref="0"),),
        ).after(361)
        == 1002
    )
