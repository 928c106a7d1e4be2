"""sr1: one table of one group as the plaintext of a packet, and back.

Layout: version and group, offset, rows, two bitmaps (present, gapped), then for each
present channel its runs, if it has gaps, and its column; a mark, and padding.
The decoder takes one form of everything but the Rice parameters, and refuses the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from sealward.packet import rice
from sealward.packet.octets import MARK, CodecError, leb, unleb, unpadded
from sealward.packet.octets import padded as with_padding
from sealward.packet.profile import (
    CELLS,
    Channel,
    Group,
    OffScaleError,
    Profile,
    ProfileError,
)

__all__ = ["CodecError", "Source", "Table", "decode", "encode"]

GATEWAY, WORKER = 1, 2  # versions: of a gateway's table, of what a worker derived
SLOT = 10_000  # ms
SLOTS = 8_640  # in a day
LARGEST = 64 * 1024  # bytes; the broker takes no larger packet
_ALIAS = 26  # characters
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")
_EPOCH = (1 << 32) - 1


class Source(NamedTuple):
    """Whose table a worker derived: alias and day of the readings, slot of row 0."""

    alias: str
    epoch: int
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The readings of one group, in rows of its period; None is a gap."""

    group: int
    offset: int  # ms from the slot's start to row 0, 0 to 9999
    rows: int
    columns: dict[int, list[int | None]]  # raw values by channel, absent ones left out
    source: Source | None = None  # of a derived table


def encode(  # noqa: PLR0913 - a table's head is what it is
    group: Group,
    offset: int,
    rows: int,
    columns: Mapping[int, Sequence[int | None]],
    *,
    padded: bool = True,
    source: Source | tuple[str, int, int] | None = None,
) -> bytes:
    """Return the plaintext of a table of *group*.

    *offset* is ms from the start of the packet's slot to row 0; *columns* are raw
    values by channel, each of *rows* entries, None for a gap; what has no value is
    left out. *source* is given by a worker alone. Equal tables give equal bytes.

    Raises:
        OffScaleError: a value is outside its channel's range.
        ValueError: offset, rows, a channel or a source is not what a table can have.
    """
    count = len(group.channels)
    _bounded(offset, 0, SLOT - 1)
    _bounded(rows, 1, group.max_rows)
    present = gapped = 0
    body = []
    for number in sorted(columns):
        _bounded(number, 0, count - 1)
        column = columns[number]
        _bounded(len(column), rows, rows)
        values = [value for value in column if value is not None]
        if not values:
            continue
        present |= 1 << number
        if len(values) < rows:
            gapped |= 1 << number
            body.append(_runs(column))
        body.append(_column(values, group.channels[number]))
    width = (count + 7) // 8
    content = b"".join(
        (
            _head(group.id, source),
            leb(offset),
            leb(rows),
            present.to_bytes(width, "little"),
            gapped.to_bytes(width, "little"),
            *body,
        )
    )
    plain = with_padding(content) if padded else content + MARK
    _bounded(len(plain), 1, LARGEST)
    return plain


def _bounded(number: int, low: int, high: int) -> None:
    """Raise ValueError unless *number* is from *low* to *high*."""
    if not low <= number <= high:
        raise ValueError("a table has a count or a channel that it cannot have")


def _head(group: int, source: tuple[str, int, int] | None) -> bytes:
    """Return what stands before the offset."""
    if source is None:
        return bytes([GATEWAY << 4 | group])
    alias, epoch, slot = source
    name = alias.encode()
    _bounded(len(name), _ALIAS, _ALIAS)
    _bounded(len(_LETTERS.union(name)), 0, len(_LETTERS))
    _bounded(epoch, 0, _EPOCH)
    _bounded(slot, 0, SLOTS - 1)
    return bytes([WORKER << 4 | group]) + name + leb(epoch) + leb(slot)


def _runs(column: Sequence[int | None]) -> bytes:
    """Return the lengths of valid, missing, valid … runs; the first may be 0."""
    lengths = [len(list(run)) for _, run in groupby(v is None for v in column)]
    start = b"\0" if column[0] is None else b""
    return start + b"".join(map(leb, lengths))


def _column(values: list[int], channel: Channel) -> bytes:
    """Return the column of *values*, all on the channel's scale."""
    if min(values) < channel.lo or max(values) > channel.hi:
        raise OffScaleError("a raw value is not on the channel's scale")
    return rice.coded(values, channel)


def decode(
    group_of: Profile | Callable[[int], Group],
    data: bytes,
    *,
    padded: bool = True,
    derived: bool = False,
) -> Table:
    """Return the table that the plaintext *data* is.

    *group_of* is the profile of the packet's key record, or a function that finds a
    group by its number and raises ProfileError or LookupError. *padded* is False on
    the critical channel alone; *derived* is True if the signer is a worker, whose
    tables have another head. No more room is made than rows times channels need.

    Raises:
        CodecError: the bytes are anything else than one such table.
    """
    if not data or len(data) > LARGEST:
        raise CodecError("a table is neither empty nor larger than a packet")
    if data[0] >> 4 != (WORKER if derived else GATEWAY):
        raise CodecError("the table has another version than its signer writes")
    find = group_of.group if isinstance(group_of, Profile) else group_of
    try:
        group = find(data[0] & 15)
    except (ProfileError, LookupError):
        raise CodecError("the profile has no such group") from None
    source, at = _source(data) if derived else (None, 1)
    offset, at = unleb(data, at, SLOT - 1)
    rows, at = unleb(data, at, group.max_rows)
    present, gapped, at = _bitmaps(data, at, len(group.channels))
    if not rows or rows * present.bit_count() > CELLS:
        raise CodecError("the table has no rows, or too many cells")
    stream = rice.Stream.of(data)
    columns = {}
    for number, channel in enumerate(group.channels):
        if present >> number & 1:
            gaps = bool(gapped >> number & 1)
            columns[number], at = _uncolumn(stream, at, rows, channel, gaps=gaps)
    if padded:
        unpadded(data, at)
    elif data[at:] != MARK:
        raise CodecError("the table does not end in its mark")
    return Table(
        group=group.id, offset=offset, rows=rows, columns=columns, source=source
    )


def _source(data: bytes) -> tuple[Source, int]:
    """Return whose table a worker derived."""
    alias = data[1 : 1 + _ALIAS]
    if len(alias) < _ALIAS or not _LETTERS.issuperset(alias):
        raise CodecError("the source is no alias")
    epoch, at = unleb(data, 1 + _ALIAS, _EPOCH)
    slot, at = unleb(data, at, SLOTS - 1)
    return Source(alias.decode(), epoch, slot), at


def _bitmaps(data: bytes, at: int, channels: int) -> tuple[int, int, int]:
    """Return the bitmaps of present and of gapped channels, and where they end."""
    width = (channels + 7) // 8
    end = at + 2 * width
    present = int.from_bytes(data[at : at + width], "little")
    gapped = int.from_bytes(data[at + width : end], "little")
    if end > len(data) or present >> channels or gapped & ~present:
        raise CodecError("the bitmaps name channels that are not there")
    return present, gapped, end


def _uncolumn(
    stream: rice.Stream, at: int, rows: int, channel: Channel, *, gaps: bool
) -> tuple[list[int | None], int]:
    """Return one channel's *rows* entries, and where they end."""
    runs, at = _unruns(stream.octets, at, rows) if gaps else ([rows], at)
    count = sum(runs[::2])
    if gaps and not 0 < count < rows:
        raise CodecError("a channel with gaps lacks a gap or a value")
    values, at = rice.decoded(stream, at, count, channel)
    if min(values) < channel.lo or max(values) > channel.hi:
        raise CodecError("a value is not on its channel's scale")
    column: list[int | None] = []
    taken = 0
    for place, run in enumerate(runs):
        if place & 1:
            column += [None] * run
        else:
            column += values[taken : taken + run]
            taken += run
    return column, at


def _unruns(data: bytes, at: int, rows: int) -> tuple[list[int], int]:
    """Return the lengths of valid, missing, valid … runs, which sum to *rows*."""
    runs: list[int] = []
    while rows:
        run, at = unleb(data, at, rows)
        if runs and not run:
            raise CodecError("a run is empty")
        runs.append(run)
        rows -= run
    return runs, at
