"""What the numbers of a packet mean, agreed once and not sent each time.

A profile is immutable and known by its digest, which stands in the sealed policy of
every key record: nobody can decode a table with the wrong one.
"""

from dataclasses import dataclass, replace
from decimal import Context, Decimal
from hashlib import sha256
from typing import Self

from sealward.errors import RefusalError
from sealward.packet import cbor
from sealward.packet.octets import CodecError
from sealward.vitals.table import VITALS

VITALS_KIND, WAVE, ROLLUP = 0, 1, 2
CHANNELS = 64  # the most in a group
ROWS = 65_536  # the most in a pack
CELLS = 1 << 20  # rows times channels
LARGEST = 16 * 1024  # bytes of a profile
PARTS = ("n", "mean", "below", "above")  # columns that a rollup makes of a channel
_NUMBERS = ("num", "den", "offset", "ref", "order", "lo", "hi", "mul")
_INT32 = 1 << 31
_UINT32 = (1 << 32) - 1
_NAME = 64  # characters
_HUGE, _TINY = 18, -20  # decimal exponents beyond every channel's range and step
_EXACT = Context(prec=28, traps=[])  # our own: the caller's context changes nothing


class ProfileError(RefusalError):
    """Nothing that a profile may be, or no group of it."""

    reason = "profile"


class OffScaleError(RefusalError):
    """The value cannot be written in the channel."""

    reason = "offscale"


def _within(number: object, low: int, high: int) -> None:
    """Raise ProfileError unless *number* is an int from *low* to *high*."""
    if type(number) is not int or not low <= number <= high:
        raise ProfileError("a number of the profile is out of its range")


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """How one vital is written: value = (raw + offset) * num / den."""

    code: str  # a key of the table of vitals
    ucum: str  # its unit there
    num: int = 1  # with ``den``, the step
    den: int = 1
    offset: int = 0
    ref: int = 0  # raw; what the first value is told against
    order: int = 1  # of the differences: 0, 1, 2
    lo: int  # least raw value
    hi: int  # greatest raw value
    mul: int = 1  # a rollup's mean has this many parts of a step

    def __post_init__(self) -> None:
        for number in (self.num, self.den, self.mul):
            _within(number, 1, _UINT32)
        for number in (self.offset, self.ref, self.lo):
            _within(number, -_INT32, _INT32 - 1)
        _within(self.order, 0, 2)
        _within(self.hi, self.lo, _INT32 - 1)

    def raw(self, value: Decimal | float) -> int:
        """Return the raw value nearest to *value*, a half step going away from zero.

        *value* is in the channel's unit; a float means its shortest decimal.

        Raises:
            OffScaleError: it is not finite, or its raw value outside ``lo`` to ``hi``.
        """
        exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
        if not exact.is_finite() or exact.adjusted() > _HUGE:
            raise OffScaleError("the value is not on the channel's scale")
        steps = 0
        if exact.adjusted() >= _TINY:
            above, below = exact.as_integer_ratio()
            above, below = above * self.den, below * self.num
            steps = (2 * abs(above) + below) // (2 * below)
            steps = -steps if above < 0 else steps
        if not self.lo <= steps - self.offset <= self.hi:
            raise OffScaleError("the value is not on the channel's scale")
        return steps - self.offset

    def value(self, raw: int) -> Decimal:
        """Return what *raw* means, in the channel's unit, to 28 digits."""
        return _EXACT.divide(Decimal((raw + self.offset) * self.num), Decimal(self.den))

    def rolled(self, full: int) -> tuple["Channel", ...]:
        """Return the four columns of a rollup of this channel.

        *full* is the count of readings in a whole period. The mean is in ``mul``
        parts of a step; what lies below and above it is in steps from its floor.
        """
        n, mean, below, above = (f"{self.code}.{part}" for part in PARTS)
        span = replace(
            self, offset=0, ref=0, order=0, lo=0, hi=self.hi - self.lo, mul=1
        )
        return (
            Channel(code=n, ucum="1", ref=full, lo=0, hi=full),
            Channel(
                code=mean,
                ucum=self.ucum,
                num=self.num,
                den=self.den * self.mul,
                offset=self.offset * self.mul,
                ref=self.ref * self.mul,
                lo=self.lo * self.mul,
                hi=self.hi * self.mul,
            ),
            replace(span, code=below),
            replace(span, code=above),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One sampling rate and all the channels that share it: one table."""

    id: int  # 0 to 15
    kind: int  # of packet: 0 vitals, 1 wave, 2 rollup
    period: tuple[int, int]  # of a row, as a fraction of seconds
    max_rows: int
    channels: tuple[Channel, ...] = ()  # a rollup's are filled in by its profile
    of: int | None = None  # a rollup's source group

    def __post_init__(self) -> None:
        _within(self.id, 0, 15)
        _within(self.kind, VITALS_KIND, ROLLUP)
        for part in self.period:
            _within(part, 1, _UINT32)
        _within(self.max_rows, 1, ROWS)
        _within(len(self.channels), self.of is None, CHANNELS)
        _within(self.max_rows * len(self.channels), 0, CELLS)
        if (self.kind == ROLLUP) != (self.of is not None):
            raise ProfileError("a rollup is of a group, and nothing else is")
        codes = {channel.code for channel in self.channels}
        _within(len(codes), len(self.channels), CHANNELS)

    def after(self, rows: int) -> int:
        """Return how many whole milliseconds *rows* rows take."""
        return 1000 * rows * self.period[0] // self.period[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The groups of one kind of gateway. Two profiles are equal if their bytes are."""

    name: str
    version: int
    groups: tuple[Group, ...]

    def __post_init__(self) -> None:
        _within(len(self.name), 1, _NAME)
        _within(self.version, 0, _UINT32)
        _within(len({group.id for group in self.groups}), max(1, len(self.groups)), 16)
        for group in self.groups:
            if group.of is None:
                _listed(group)
        groups = tuple(self._resolved(group) for group in self.groups)
        object.__setattr__(self, "groups", groups)  # once, before anybody sees it

    def _resolved(self, group: Group) -> Group:
        """Return *group* with the columns of its source, if it is a rollup."""
        if group.of is None:
            return group
        source = self.group(group.of)
        above = group.period[0] * source.period[1]
        full, rest = divmod(above, group.period[1] * source.period[0])
        if rest or not full or source.kind == ROLLUP:
            raise ProfileError("a rollup's period holds whole rows of a sampled group")
        columns = [column for c in source.channels for column in c.rolled(full)]
        return replace(group, channels=tuple(columns))

    def group(self, number: int) -> Group:
        """Return the group with that *number*.

        Raises:
            ProfileError: there is none.
        """
        for group in self.groups:
            if group.id == number:
                return group
        raise ProfileError("the profile has no such group")

    def encode(self) -> bytes:
        """Return the profile's document, deterministic CBOR."""
        return cbor.dumps(
            [1, self.name, self.version, list(map(_written, self.groups))]
        )

    def digest(self) -> bytes:
        """Return the SHA-256 of the document, by which the profile is known."""
        return sha256(self.encode()).digest()

    @classmethod
    def decode(cls, document: bytes) -> Self:
        """Return the profile whose document *document* is.

        Raises:
            ProfileError: it is not deterministic, not of this shape, out of a limit,
                or names a vital or a unit that the table does not.
        """
        if len(document) > LARGEST:
            raise ProfileError("the profile is too long")
        try:
            match cbor.loads(document):
                case [1, str(name), int(version), list(groups)]:
                    read = tuple(map(_read, groups))
                case _:
                    raise ProfileError("this is not a profile of version 1")
        except CodecError:
            raise ProfileError("the profile is not deterministic CBOR") from None
        profile = cls(name=name, version=version, groups=read)
        if profile.encode() != document:  # true for 1, for one
            raise ProfileError("the profile is not written as it should be")
        return profile


def _listed(group: Group) -> None:
    """Raise ProfileError unless the table has every channel of *group*, in its unit."""
    for channel in group.channels:
        if channel.code not in VITALS or VITALS[channel.code].ucum != channel.ucum:
            raise ProfileError("a channel is not in the table of vitals")


def _written(group: Group) -> list[object]:
    """Return *group* as the document has it."""
    head = [group.id, group.kind, group.period, group.max_rows]
    if group.of is not None:
        return [*head, group.of]
    fields = ("code", "ucum", *_NUMBERS)
    return [*head, [[getattr(c, name) for name in fields] for c in group.channels]]


def _read(item: object) -> Group:
    """Return the group that *item* of a document is."""
    channels: tuple[Channel, ...] = ()
    source: int | None = None
    match item:
        case [int(number), int(kind), [int(num), int(den)], int(rows), int(of)]:
            source = of
        case [int(number), int(kind), [int(num), int(den)], int(rows), list(items)]:
            channels = tuple(map(_channel, items))
        case _:
            raise ProfileError("a group has another shape")
    return Group(
        id=number,
        kind=kind,
        period=(num, den),
        max_rows=rows,
        channels=channels,
        of=source,
    )


def _channel(item: object) -> Channel:
    """Return the channel that *item* of a document is."""
    match item:
        case [str(code), str(ucum), *numbers] if len(numbers) == len(_NUMBERS):
            given = dict(zip(_NUMBERS, map(_integer, numbers), strict=True))
            return Channel(code=code, ucum=ucum, **given)
        case _:
            raise ProfileError("a channel has another shape")


def _integer(item: object) -> int:
    """Return *item* if it is an int, which a bool is not here."""
    if type(item) is int:
        return item
    raise ProfileError("a channel holds something other than integers")


def channel(
    code: str, *, ref: str, order: int = 1, offset: int = 0, mul: int | None = None
) -> Channel:
    """Return the table's row *code* as a channel, in the row's own step and range.

    *ref* is a usual value, in the row's unit; *offset* as in :class:`Channel`. *mul*
    is 10 for a row of whole numbers and 1 for a finer one unless told otherwise.

    Raises:
        KeyError: the table has no such row.
    """
    row = VITALS[code]
    num, den = row.resolution.as_integer_ratio()

    def raw(value: Decimal) -> int:
        return int(value / row.resolution) - offset

    return Channel(
        code=code,
        ucum=row.ucum,
        num=num,
        den=den,
        offset=offset,
        ref=raw(Decimal(ref)),
        order=order,
        lo=raw(row.low),
        hi=raw(row.high),
        mul=mul or (10 if den == 1 else 1),
    )


_DAY = 86_400  # seconds
_HOUR = 3_600  # rows of 1 Hz; a pack is of a minute as a rule, of ten at most
_MINUTE = 60  # seconds of a wave; a pack is of ten as a rule


def _numerics(*channels: Channel) -> Group:
    """Return group 0, one row a second."""
    return Group(
        id=0, kind=VITALS_KIND, period=(1, 1), max_rows=_HOUR, channels=channels
    )


def _wave(number: int, rate: int, *channels: Channel) -> Group:
    """Return a group of waves at *rate* Hz."""
    rows = rate * _MINUTE
    return Group(
        id=number, kind=WAVE, period=(1, rate), max_rows=rows, channels=channels
    )


def _rollup(number: int, seconds: int) -> Group:
    """Return a rollup of group 0 by *seconds*, with a day of rows at the most."""
    rows = _DAY // seconds
    return Group(id=number, kind=ROLLUP, period=(seconds, 1), max_rows=rows, of=0)


BED_1 = Profile(
    name="bed-1",
    version=1,
    groups=(
        _numerics(
            channel("hr", ref="75"),
            channel("spo2", ref="97"),
            channel("rr", ref="15"),
            channel("tskin", ref="34"),
        ),
        _wave(1, 250, channel("ecg1", ref="0", offset=-2048)),  # 12 bits, as converters
        _wave(2, 125, channel("pleth", ref="0.5", order=2)),
        _wave(3, 125, channel("resp", ref="0.5", order=2)),
        Group(
            id=4,
            kind=VITALS_KIND,
            period=(300, 1),
            max_rows=_DAY // 300,
            channels=(channel("glu", ref="120"),),
        ),
        _rollup(8, 60),
        _rollup(9, 900),
    ),
)
"""A bed or a wearer: four vitals, an ECG, two slow waves, glucose, two rollups."""

ICU_1 = Profile(
    name="icu-1",
    version=1,
    groups=(
        _numerics(
            channel("hr", ref="75"),
            channel("pr", ref="75"),
            channel("rr", ref="15"),
            channel("spo2", ref="97"),
        ),
        _wave(
            1,
            125,
            channel("ecg2", ref="0", offset=-2048),
            channel("pleth", ref="0.5", order=2),
            channel("resp", ref="0.5", order=2),
        ),
        _rollup(8, 60),
        _rollup(9, 900),
    ),
)
"""A bedside monitor as recordings of intensive care have it: 1 Hz and 125 Hz."""
