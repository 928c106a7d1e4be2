"""Turn a value in a unit of UCUM into the table's unit, exactly where that is possible.

The codes are a closed list: a file that writes ``bpm`` or ``mmHg`` is read by an
importer that says so, with :func:`ucum`.
"""

from collections.abc import Mapping
from decimal import Context, Decimal
from types import MappingProxyType

from sealward.errors import RefusalError
from sealward.vitals.table import Vital

_EXACT = Context(prec=28, traps=[])  # our own: the caller's context changes nothing

# (from, to): value * factor / divisor + shift.
_RULES: Mapping[tuple[str, str], tuple[str, str, str]] = MappingProxyType(
    {
        ("K", "Cel"): ("1", "1", "-273.15"),
        ("kPa", "mm[Hg]"): ("1000", "133.322", "0"),  # UCUM: m[Hg] is 133.3220 kPa
        ("cm[H2O]", "mm[Hg]"): ("98.0665", "133.322", "0"),  # UCUM: m[H2O], 9.80665 kPa
        ("1", "%"): ("100", "1", "0"),
        ("g", "kg"): ("1", "1000", "0"),
        ("[lb_av]", "kg"): ("0.45359237", "1", "0"),  # international pound, 1959
        ("uV", "mV"): ("1", "1000", "0"),
        ("V", "mV"): ("1000", "1", "0"),
        ("[g]", "m/s2"): ("9.80665", "1", "0"),  # standard gravity, CGPM 1901
        ("/s", "/min"): ("60", "1", "0"),
        ("Hz", "/min"): ("60", "1", "0"),
        ("{beats}/min", "/min"): ("1", "1", "0"),
        ("{breaths}/min", "/min"): ("1", "1", "0"),
        ("1/min", "/min"): ("1", "1", "0"),
    }
)
_GLUCOSE = Decimal("18.0156")  # mg/dL in one mmol/L: glucose is 180.156 g/mol

_SPELT: Mapping[str, str] = MappingProxyType(
    {
        "bpm": "/min",
        "beats/min": "/min",
        "breaths/min": "/min",
        "rpm": "/min",
        "mmhg": "mm[Hg]",
        "c": "Cel",
        "°c": "Cel",
        "degc": "Cel",
        "f": "[degF]",
        "°f": "[degF]",
        "degf": "[degF]",
        "lb": "[lb_av]",
        "lbs": "[lb_av]",
        "percent": "%",
        "g0": "[g]",
        "m/s^2": "m/s2",
        "steps": "{steps}",
    }
)


class UnitError(RefusalError):
    """The unit is not UCUM, or says nothing about this vital."""

    reason = "unit"


def ucum(spelling: str) -> str:
    """Return the UCUM code that *spelling* of an everyday file means.

    For importers, which know that their file spells units by hand; a code that
    is UCUM already comes back as it is, and so does what nobody knows.
    """
    return _SPELT.get(spelling.strip().casefold(), spelling.strip())


def convert(value: Decimal, unit: str, vital: Vital) -> Decimal:
    """Return finite *value*, given in *unit*, in the unit of *vital*.

    The result has 28 significant digits; beyond a Decimal's range it is infinite.

    Raises:
        UnitError: no rule leads from *unit* to the vital's.
    """
    if unit == vital.ucum:
        return value
    if unit == "mmol/L" and vital.key in {"glu", "glucap"}:
        return _EXACT.multiply(value, _GLUCOSE)
    if (unit, vital.ucum) == ("[degF]", "Cel"):
        ninths = _EXACT.multiply(_EXACT.subtract(value, Decimal(32)), Decimal(5))
        return _EXACT.divide(ninths, Decimal(9))
    if rule := _RULES.get((unit, vital.ucum)):
        factor, divisor, shift = map(Decimal, rule)
        scaled = _EXACT.divide(_EXACT.multiply(value, factor), divisor)
        return _EXACT.add(scaled, shift)
    raise UnitError(f"{vital.name} is taken in {vital.ucum}; convert it or name a code")
