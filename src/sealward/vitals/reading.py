"""One reading, and the door through which a number becomes one.

Nothing is clipped, smoothed or guessed here: a value enters whole or is refused.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sealward.errors import RefusalError
from sealward.vitals.table import find
from sealward.vitals.units import UnitError, convert

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOLAR = "105272-9"  # LOINC: interstitial glucose in mmol/L; the row's own unit is mg/dL

_NUMBER = re.compile(
    r"[+-]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:[eE][+-]?\d{1,2})?", re.ASCII
)


class ImplausibleError(RefusalError):
    """No body and no sensor in order gives this value."""

    reason = "implausible"


class NotANumberError(RefusalError):
    """The value is text, infinite or missing."""

    reason = "number"


class NaiveTimeError(RefusalError):
    """The time does not say its offset from UTC."""

    reason = "naive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value of one vital at one instant."""

    vital: str  # a key of the table
    at: int  # nanoseconds since 1970-01-01T00:00Z
    offset: int = 0  # minutes east of UTC where it was measured
    value: float | Decimal  # in the table's unit
    quality: int = 2  # 0 bad, 1 uncertain, 2 good
    flags: int = 0  # 1 range, 2 rate, 4 relation, 8 sensor, 16 motion, 32 paced


def read(
    vital: str,
    value: float | Decimal | str,
    *,
    at: datetime | int,
    unit: str | None = None,
    quality: int = 2,
) -> Reading:
    """Return the reading that *value* is, in the table's unit and range.

    *vital* is any name that :func:`~sealward.vitals.table.find` knows, *unit* a UCUM
    code, None being the table's own; *at* is aware, or nanoseconds since 1970 UTC,
    and an aware one leaves its offset in the reading. A float means its shortest
    decimal, as the sensor printed it. What needed converting becomes a Decimal.

    Raises:
        UnknownVitalError: the table has no such row.
        NotANumberError: *value* is no finite decimal number.
        UnitError: *unit* does not lead to the row's.
        ImplausibleError: the value lies outside the row's range.
        NaiveTimeError: *at* has no offset.
    """
    row = find(vital)
    exact = _decimal(value)
    if unit is None and vital.strip() == MOLAR:
        # 20 to 33 mmol/L would pass for mg/dL: a grave error in a grave moment.
        raise UnitError("name mmol/L with a molar code")
    converted = exact if unit is None else convert(exact, unit, row)
    if not row.low <= converted <= row.high:
        raise ImplausibleError(f"{row.name}: outside the plausible range; check it")
    instant, offset = _instant(at)
    kept = value if isinstance(value, float) and converted is exact else converted
    return Reading(
        vital=row.key, at=instant, offset=offset, value=kept, quality=quality
    )


def _decimal(value: float | Decimal | str) -> Decimal:
    """Return the finite decimal that *value* shows, or refuse it."""
    if isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            raise NotANumberError("give digits, with a point if need be")
        return Decimal(text)
    if isinstance(value, int | Decimal):
        exact = Decimal(value)
    else:
        exact = Decimal(repr(float(value)))
    if not exact.is_finite():
        raise NotANumberError("leave out what was not measured")
    return exact


def _instant(at: datetime | int) -> tuple[int, int]:
    """Return *at* as nanoseconds since 1970 and minutes east of UTC."""
    if isinstance(at, int):
        return at, 0
    east = at.utcoffset()
    if east is None:
        raise NaiveTimeError("give the time with its offset from UTC")
    return (at - EPOCH) // timedelta(microseconds=1) * 1000, east // timedelta(
        minutes=1
    )
