"""The rules of a daily credential: how long it counts, and what ends it.

Both doors ask here, the broker's and intake's, and refuse by the same words.
"""

from datetime import UTC, datetime, timedelta

from sealward.errors import RefusalError

DAY = timedelta(days=1)
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


class UnknownAliasError(RefusalError):
    """No credential of this alias is known."""

    reason = "unknown"


class ExpiredError(RefusalError):
    """The credential is past its day of grace, or not begun."""

    reason = "expired"


class RevokedError(RefusalError):
    """The credential, its device or its binding has been ended."""

    reason = "revoked"


def epoch_of(at: datetime) -> int:
    """Return the epoch, the number of the UTC day, in which *at* lies."""
    return (at.astimezone(UTC) - _FIRST) // DAY


def midnight(epoch: int) -> datetime:
    """Return the instant at which *epoch* begins."""
    return _FIRST + epoch * DAY
