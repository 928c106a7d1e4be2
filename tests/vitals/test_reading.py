"""A number becomes a reading whole, or not at all."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealward.errors import RefusalError
from sealward.vitals.reading import (
    ImplausibleError,
    NaiveTimeError,
    NotANumberError,
    read,
)
from sealward.vitals.table import VITALS, UnknownVitalError, Vital
from sealward.vitals.units import UnitError, ucum

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROWS = pytest.mark.parametrize("vital", VITALS.values(), ids=lambda v: v.key)


@ROWS
def test_both_ends_of_a_range_are_inside_it(vital: Vital) -> None:
    """The last plausible value is taken as it stands."""
    for edge in (vital.low, vital.high):
        assert read(vital.key, edge, at=NOON).value == edge
        assert read(vital.key, float(edge), at=NOON).value == float(edge)
        assert read(vital.key, str(edge), at=NOON).value == edge


@ROWS
def test_beyond_either_end_of_a_range_is_refused(vital: Vital) -> None:
    """One step outside is never clipped to the edge."""
    step = vital.resolution
    for value in (vital.low - step, vital.high + step, vital.high + Decimal("1e-9")):
        with pytest.raises(ImplausibleError):
            read(vital.key, value, at=NOON)
        with pytest.raises(ImplausibleError):
            read(vital.key, float(value), at=NOON)


@pytest.mark.parametrize(
    ("vital", "value", "unit", "expected"),
    [
        ("tbody", "98.6", "[degF]", "37"),
        ("tbody", "310.15", "K", "37"),
        ("glu", "5.5", "mmol/L", "99.08580"),
        ("105272-9", "5.5", "mmol/L", "99.08580"),
        ("spo2", "0.97", "1", "97"),
        ("wt", "72500", "g", "72.5"),
        ("ecg2", "-500", "uV", "-0.5"),
        ("acc", "-1", "[g]", "-9.80665"),
        ("hr", "1.2", "Hz", "72"),
        ("hr", "72", "/min", "72"),
    ],
)
def test_units_are_converted_exactly(
    vital: str, value: str, unit: str, expected: str
) -> None:
    """A conversion loses nothing that a decimal can hold."""
    assert read(vital, value, at=NOON, unit=unit).value == Decimal(expected)


def test_kilopascals_become_millimetres_of_mercury() -> None:
    """16 kPa are 120.01 mm[Hg]."""
    value = read("nibp.s", 16, at=NOON, unit="kPa").value
    assert round(Decimal(value), 2) == Decimal("120.01")


@pytest.mark.parametrize("unit", ["bpm", "degF", "mmHg", "C", "", "mmol/L", "%"])
def test_an_everyday_spelling_is_no_unit(unit: str) -> None:
    """UCUM is a closed list; an importer that knows better says so by ``ucum``."""
    with pytest.raises(UnitError):
        read("hr", 72, at=NOON, unit=unit)


def test_an_importer_spells_units_out() -> None:
    """What a file means by its unit is decided where the file is read."""
    assert read("hr", 72, at=NOON, unit=ucum("bpm")).value == 72
    assert read("tbody", "98.6", at=NOON, unit=ucum("degF")).value == 37
    assert ucum("mmHg") == "mm[Hg]"
    assert ucum(" mm[Hg]") == "mm[Hg]"


def test_a_molar_code_without_its_unit_is_refused() -> None:
    """22 mmol/L must not pass for 22 mg/dL."""
    with pytest.raises(UnitError):
        read("105272-9", 22, at=NOON)


def test_a_fraction_is_a_percentage_only_where_the_unit_says_so() -> None:
    """0.97 without a unit is no saturation."""
    with pytest.raises(ImplausibleError):
        read("spo2", 0.97, at=NOON)


@pytest.mark.parametrize(
    "value",
    [
        *("", "-", "Low", "nan", "Infinity", "1_0", "٧٢", "1e999999", "0x48", "72 73"),
        *(float("nan"), float("inf"), Decimal("sNaN"), Decimal("-Infinity")),
    ],
)
def test_what_is_no_number_is_refused(value: float | Decimal | str) -> None:
    """A sensor's code for low or for nothing is not a value."""
    with pytest.raises(NotANumberError):
        read("hr", value, at=NOON)


def test_a_vital_that_nobody_listed_is_refused() -> None:
    """A number without a meaning is not kept."""
    with pytest.raises(UnknownVitalError):
        read("mood", 7, at=NOON)


def test_a_time_without_offset_is_refused() -> None:
    """A local time of nowhere orders nothing."""
    with pytest.raises(NaiveTimeError):
        read("hr", 72, at=NOON.replace(tzinfo=None))


def test_the_offset_of_the_source_is_kept() -> None:
    """Eight in the morning is what a person remembers, whatever UTC says."""
    east = timezone(timedelta(hours=5, minutes=45))
    reading = read("hr", 72, at=NOON.astimezone(east))
    assert reading.at == int(NOON.timestamp()) * 10**9
    assert reading.offset == 345
    assert read("hr", 72, at=123, quality=1).offset == 0


@given(st.text() | st.floats() | st.decimals(), st.sampled_from(list(VITALS)))
def test_whatever_is_read_is_plausible(
    value: str | float | Decimal, vital: str
) -> None:
    """The door lets nothing through but the range, and fails in no other way."""
    row = VITALS[vital]
    try:
        reading = read(vital, value, at=0)
    except RefusalError:
        return
    assert (
        row.low
        <= Decimal(
            repr(reading.value) if isinstance(reading.value, float) else reading.value
        )
        <= row.high
    )


@given(st.decimals(), st.sampled_from(["[degF]", "K", "mmol/L", "kPa", "1", "[g]"]))
def test_no_value_breaks_a_conversion(value: Decimal, unit: str) -> None:
    """Exponents beyond all sense end as implausible, not as an arithmetic error."""
    for vital in ("tbody", "glu", "nibp.s", "spo2", "acc"):
        with suppress(ImplausibleError, NotANumberError, UnitError):
            read(vital, value, at=0, unit=unit)
