"""The table of vitals is coded as the world codes it."""

import re

import pytest

from sealward.vitals.table import VITALS, UnknownVitalError, Vital, find

ROWS = pytest.mark.parametrize("vital", VITALS.values(), ids=lambda v: v.key)


def check_digit(code: str) -> int:
    """Return the mod-10 check digit of a LOINC *code*'s number."""
    doubled = 0
    for place, digit in enumerate(reversed(code.partition("-")[0])):
        twice = int(digit) * (2 if place % 2 == 0 else 1)
        doubled += twice // 10 + twice % 10
    return -doubled % 10


@ROWS
def test_every_loinc_code_bears_its_check_digit(vital: Vital) -> None:
    """A mistyped code would name another observation."""
    for code in vital.loinc:
        assert check_digit(code) == int(code.split("-")[1])


def test_the_code_often_copied_for_inspired_oxygen_is_wrong() -> None:
    """3150-6 circulates; its digit should be 0."""
    assert check_digit("3150-6") == 0
    assert "3150-0" in VITALS["fio2"].loinc


@ROWS
def test_every_mdc_code_is_of_the_scada_partition(vital: Vital) -> None:
    """Partition 2 begins at 131072 and has 65536 terms."""
    assert vital.mdc is None or vital.mdc >> 16 == 2


@ROWS
def test_every_row_is_whole(vital: Vital) -> None:
    """A range has an inside, a step fits into it, a colour is a colour."""
    assert vital.low < vital.high
    assert 0 < vital.resolution <= vital.high - vital.low
    assert vital.low % vital.resolution == 0
    assert vital.high % vital.resolution == 0
    assert re.fullmatch("#[0-9a-f]{6}", vital.colour)
    assert vital.name


def test_a_code_means_one_vital() -> None:
    """No LOINC or MDC code stands in two rows."""
    loinc = [code for vital in VITALS.values() for code in vital.loinc]
    mdc = [vital.mdc for vital in VITALS.values() if vital.mdc is not None]
    assert len(loinc) == len(set(loinc))
    assert len(mdc) == len(set(mdc))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("hr", "hr"),
        ("HR", "hr"),
        ("Heart Rate", "hr"),
        ("8867-4", "hr"),
        ("PULSE", "pr"),
        ("RESP", "rr"),
        ("resp", "resp"),
        ("SpO2", "spo2"),
        ("59408-5", "spo2"),
        (" NIBP.S ", "nibp.s"),
        ("105272-9", "glu"),
    ],
)
def test_a_vital_is_found_by_every_name_it_goes_by(name: str, key: str) -> None:
    """Exports name columns as they like."""
    assert find(name).key == key


@pytest.mark.parametrize("name", ["", "3150-6", "heart", "acvpu", "\N{KELVIN SIGN}"])
def test_what_is_not_listed_is_refused(name: str) -> None:
    """A vital that nobody defined has no unit and no range."""
    with pytest.raises(UnknownVitalError) as refusal:
        find(name)
    assert refusal.value.reason == "unlisted"
