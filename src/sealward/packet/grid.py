"""Lay readings, which come when they come, onto the rows of a table, and back.

Packs close on the UTC grid of their length, so that no gateway has a rhythm of its
own and no pack crosses midnight. Nothing is ever interpolated: a row without a
reading is a gap.
"""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from sealward.packet.profile import Group, OffScaleError, Profile
from sealward.packet.sr1 import SLOT, Table
from sealward.vitals.reading import Reading
from sealward.vitals.table import UnknownVitalError

DAY = 86_400_000  # ms
SILENCE = 30_000  # ms without any channel, after which a pack is not kept waiting
BAD = 0  # quality of a reading that must not be taken for one

_MS = 1_000_000  # ns
_SECOND = 1_000_000_000  # ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A closed table, ready to be encoded."""

    start_ms: int  # of row 0, since 1970 UTC
    rows: int
    columns: dict[int, list[int | None]]  # as in sr1.Table


@dataclass(slots=True)
class _Window:
    """An open pack: raw values by channel and row of the window, None for a gap."""

    end: int  # ms since 1970 UTC
    cells: dict[int, dict[int, int | None]] = field(default_factory=dict)
    latest: int = -1  # row

    def earliest(self) -> int:
        """Return the first row that has a reading."""
        return min(row for column in self.cells.values() for row in column)


def place(start_ms: int) -> tuple[int, int, int]:
    """Return epoch, slot and offset in ms of an instant, ms since 1970 UTC."""
    epoch, within = divmod(start_ms, DAY)
    return epoch, *divmod(within, SLOT)


class Grid:
    """The open packs of one group, each *length_ms* long and closed on the UTC grid.

    It reads no clock: whoever owns it asks :meth:`due` with the time by which the
    readings were stamped, less whatever grace late ones shall have. A reading ahead
    of that time is the owner's to refuse.
    """

    def __init__(self, group: Group, length_ms: int) -> None:
        self.late: Counter[str] = Counter()  # by vital: came after their pack closed
        self.offscale: Counter[str] = Counter()  # by vital: not on the scale, a gap
        self.poor: Counter[str] = Counter()  # by vital: of bad quality, a gap
        self._group = group
        self._length = length_ms
        self._numbers = {c.code: n for n, c in enumerate(group.channels)}
        self._num, self._den = group.period
        self._silence = max(SILENCE, 2 * group.after(1))
        self._open: dict[int, _Window] = {}  # by start, ms since 1970 UTC
        self._closed = -1  # ns since 1970 UTC; what is older is late
        self._latest = -1  # ns since 1970 UTC, of any reading
        if not 0 < self._rows(min(length_ms, DAY)) <= group.max_rows:
            raise ValueError("a pack of this length has more rows than the group may")

    def add(self, reading: Reading) -> None:
        """Take *reading* into the row in which it lies; the last one of a row wins.

        What is of bad quality, or not on the channel's scale, leaves a gap.

        Raises:
            UnknownVitalError: the group has no such channel.
        """
        number = self._numbers.get(reading.vital)
        if number is None:
            raise UnknownVitalError("the group has no channel for this vital")
        if reading.at < self._closed:
            self.late[reading.vital] += 1
            return
        start, window = self._window(reading.at // _MS)
        elapsed = reading.at - start * _MS
        row = elapsed * self._den // (self._num * _SECOND)
        window.cells.setdefault(number, {})[row] = self._raw(number, reading)
        window.latest = max(window.latest, row)
        self._latest = max(self._latest, reading.at)

    def due(self, now_ns: int) -> list[Pack]:
        """Return the packs that end by *now_ns*, ns since 1970 UTC, oldest first.

        After 30 s of silence on all channels, or two periods if that is longer, a
        pack closes early, behind its last reading.
        """
        now = now_ns // _MS
        silent = now_ns - self._latest >= self._silence * _MS
        packs = []
        for start in sorted(self._open):
            whole = self._open[start].end <= now
            if whole or silent:
                packs.append(self._close(start, whole=whole))
        return [pack for pack in packs if pack.columns]

    def close(self) -> list[Pack]:
        """Return all open packs, each up to its last reading, for a shutdown."""
        closed = [self._close(start, whole=False) for start in sorted(self._open)]
        return [pack for pack in closed if pack.columns]

    def _window(self, at: int) -> tuple[int, _Window]:
        """Return start and window of the pack in which *at* lies, ms since 1970 UTC."""
        midnight = at - at % DAY
        start = at - (at - midnight) % self._length
        window = self._open.get(start)
        if window is None:
            end = min(start + self._length, midnight + DAY)
            window = self._open[start] = _Window(end=end)
        return start, window

    def _raw(self, number: int, reading: Reading) -> int | None:
        """Return the raw value of *reading*, or None, counted, for a gap."""
        if reading.quality == BAD:
            self.poor[reading.vital] += 1
            return None
        try:
            return self._group.channels[number].raw(reading.value)
        except OffScaleError:
            self.offscale[reading.vital] += 1
            return None

    def _rows(self, length: int) -> int:
        """Return how many rows begin within *length* ms."""
        return -(-length * self._den // (self._num * 1000))

    def _close(self, start: int, *, whole: bool) -> Pack:
        """Return the pack of the window at *start*, which may hold no value at all.

        One that does not follow its forerunner without a break begins with its first
        reading; one that is not *whole* ends with its last.
        """
        window = self._open.pop(start)
        first = 0 if self._closed == start * _MS else window.earliest()
        last = window.latest + 1
        ahead = -(-last * self._num * _SECOND // self._den)
        self._closed = min(start * _MS + ahead, window.end * _MS)
        if whole:
            last = self._rows(window.end - start)
            self._closed = window.end * _MS
        columns: dict[int, list[int | None]] = {
            number: [column.get(row) for row in range(first, last)]
            for number, column in sorted(window.cells.items())
            if any(raw is not None for raw in column.values())
        }
        begin = start + self._group.after(first)
        return Pack(start_ms=begin, rows=last - first, columns=columns)


def rows_of(
    table: Table, profile: Profile, epoch: int, slot: int
) -> list[tuple[int, str, Decimal]]:
    """Return the readings of *table*: time in ms since 1970 UTC, channel code, value.

    *epoch* and *slot* are the outer ones of the packet; a derived table's own source
    goes before them. In order of rows, and of channels within a row; gaps left out.

    Raises:
        ProfileError: the profile has no such group.
    """
    group = profile.group(table.group)
    if table.source is not None:
        _, epoch, slot = table.source
    start = epoch * DAY + slot * SLOT + table.offset
    columns = [(group.channels[n], c) for n, c in sorted(table.columns.items())]
    return [
        (start + group.after(row), channel.code, channel.value(raw))
        for row in range(table.rows)
        for channel, column in columns
        if (raw := column[row]) is not None
    ]
