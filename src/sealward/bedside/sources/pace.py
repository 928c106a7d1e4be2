"""When the past may pass for the present: how a recording is laid onto today.

A recording is stamped anew: its first row becomes *start*, and each later row keeps
its distance. Three rules hold for every stamp, at any speed. It is never after the
present. It never lies in another UTC day than the one in which it is given out, since
a gateway's credential, and with it every key, is a day's. And stamps never go back.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from sealward.errors import ConfigError

BURST = 0.1  # s; rows that follow each other faster are given out in bursts
BREATH = 256  # rows given out without waiting before others get a turn
SECOND = 10**9  # ns
_DAY = 86_400 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def nanoseconds(time: datetime) -> int:
    """Return *time*, which is aware, as nanoseconds since 1970 in UTC."""
    return (time - _EPOCH) // _MICROSECOND * 1000


def plan(now: datetime, duration: timedelta, speed: float) -> datetime:
    """Return the stamp of the first row of a recording that begins to play *now*.

    A recording as long as *duration*, played *speed* times as fast as it was made,
    takes duration / speed. So it starts as far back as lets its last row meet the
    present, and at speed 1 at the present; but not before *now*'s UTC midnight.

    Raises:
        ConfigError: *speed* is below 1. A slower replay would fall ever further behind
            the present, and at midnight out of its day.
    """
    if not speed >= 1:
        raise ConfigError(f"a replay's speed is 1 or more, not {speed}")
    now = now.astimezone(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return max(midnight, now - duration * (1 - 1 / speed))


class Pace:
    """Gives out rows in time, and their stamps.

    Rows come *speed* times as fast as they were made until their stamps meet the
    present, and in real time from then on. Where midnight passes while stamps are
    still behind, the rows that are left go on from the present, in real time.
    """

    def __init__(
        self,
        *,
        start: datetime,
        speed: float,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._speed = speed
        self._start = nanoseconds(start)
        self._begun = nanoseconds(clock())
        self._breath = BREATH

    async def reach(self, since: int) -> int:
        """Wait until the row is due that lies *since* ns after the first one.

        *since* is 0 or more and never falls from one call to the next. The result is
        the row's stamp, in ns since 1970 in UTC.
        """
        stamp = self._start + since
        due = max(stamp, self._begun + int(since / self._speed))
        now = nanoseconds(self._clock())
        self._breath -= 1
        if now >= due and not self._breath:
            await self._rest(0)
        while now < due:  # again, should the clock have been set back meanwhile
            await self._rest(max((due - now) / SECOND, BURST))
            now = nanoseconds(self._clock())
        if stamp // _DAY < now // _DAY:
            self._start += now - stamp
            stamp = now
        return stamp

    async def _rest(self, seconds: float) -> None:
        """Let others have a turn, of *seconds* at least."""
        self._breath = BREATH
        await self._sleep(seconds)
