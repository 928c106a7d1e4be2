"""Store admitted packets exactly once: intake's hot path.

Rows are packed here in PostgreSQL's binary COPY format, so that a batch is one write
straight into the table (docs/reference/performance.md says what it takes). Only a batch
of which some is there already goes through a staging table and an INSERT that tells
which.
"""

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import LiteralString, TypeAlias

import psycopg

from sealward.errors import UnavailableError
from sealward.records.database import (
    ConflictingError,
    Connection,
    day,
    execute,
    reachable,
)

Number: TypeAlias = tuple[int, int, int]  # (cred, seq, epoch): what is stored once

# PostgreSQL's binary COPY: count of fields, then length and value of each. Dates count
# days and times microseconds from 2000-01-01.
_PACKET = struct.Struct(">hiqiqiiihiqi")
_KEY = struct.Struct(">hiqiii4si16siqiqi")
_PACKET_NUMBER = struct.Struct(">6xq4xq4xi")
_KEY_NUMBER = struct.Struct(">6xq4xi32xq")
_DAYS = 10_957  # from 1970-01-01 to 2000-01-01
_MICROSECONDS = _DAYS * 86_400_000_000
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"

_STAGES = """
    create temp table if not exists stage (
      cred int8, seq int8, day date, kind int2, t0 timestamptz, body bytea)
      on commit delete rows;
    create temp table if not exists key_stage (
      cred int8, day date, kid bytea, rid bytea, seq int8, made_at timestamptz,
      body bytea) on commit delete rows"""
_COPY = """
    copy store.packet (cred, seq, day, kind, t0, body) from stdin (format binary)"""
_COPY_KEYS = """
    copy store.key_record (cred, day, kid, rid, seq, made_at, body)
    from stdin (format binary)"""
_STAGE = "copy pg_temp.stage from stdin (format binary)"
_STAGE_KEYS = "copy pg_temp.key_stage from stdin (format binary)"
_STORE = """
    insert into store.packet (cred, seq, day, kind, t0, body)
    select * from pg_temp.stage on conflict do nothing"""
_STORE_KEYS = """
    insert into store.key_record (cred, day, kid, rid, seq, made_at, body)
    select * from pg_temp.key_stage on conflict do nothing"""
_OTHER_BYTES = """
    select cred, seq, day - '1970-01-01' from pg_temp.stage
      where sha256(body) <> store.digest(cred, seq, day)
    union
    select cred, seq, day - '1970-01-01' from pg_temp.key_stage
      where sha256(body) <> store.key_digest(cred, day, kid)"""


class UnpartitionedError(UnavailableError):
    """Nobody has made the partition of a packet's day: alarm, make it, try again."""

    reason = "unpartitioned"


class TakenError(ConflictingError):
    """Other bytes are stored under these numbers, or under a key record's kid."""

    def __init__(self, numbers: Collection[Number]) -> None:
        super().__init__(f"{len(numbers)} numbers are taken by other bytes")
        self.numbers = frozenset(numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a batch: all the rest of it is now stored.

    *existing* were stored before, with the same bytes; *refused* says why not: a
    reason of ours, or the name of PostgreSQL's error in lower case.
    """

    existing: set[Number] = field(default_factory=set)
    refused: dict[Number, str] = field(default_factory=dict)


def row(  # noqa: PLR0913, PLR0917 - a packet's columns; keywords cost time
    cred: int, seq: int, epoch: int, kind: int, t0_ms: int, body: bytes
) -> bytes:
    """Pack one packet; *t0_ms* is its slot's start in milliseconds since 1970.

    Raises:
        struct.error: a number is too large for its column.
    """
    # Written out, for a starred tuple is slower, and this is the hot path.
    head = _PACKET.pack(
        6,
        8,
        cred,
        8,
        seq,
        4,
        epoch - _DAYS,
        2,
        kind,
        8,
        t0_ms * 1000 - _MICROSECONDS,
        len(body),
    )
    return head + body


def key_row(  # noqa: PLR0913, PLR0917 - a key record's columns
    cred: int,
    epoch: int,
    kid: bytes,
    rid: bytes,
    seq: int,
    made_at_ms: int,
    body: bytes,
) -> bytes:
    """Pack one key record: 4 bytes *kid*, 16 bytes *rid*, *body* as it was signed.

    It belongs to the packet row of the same (cred, seq, epoch).
    """
    return (
        _KEY.pack(
            *(7, 8, cred, 4, epoch - _DAYS, 4, kid, 16, rid, 8, seq),
            *(8, made_at_ms * 1000 - _MICROSECONDS, len(body)),
        )
        + body
    )


def number(packed: bytes) -> Number:
    """Return (cred, seq, epoch) of a packed packet."""
    cred, seq, days = _PACKET_NUMBER.unpack_from(packed)
    return cred, seq, days + _DAYS


def _number_of_key(packed: bytes) -> Number:
    cred, days, seq = _KEY_NUMBER.unpack_from(packed)
    return cred, seq, days + _DAYS


class Writer:
    """Writes batches over a connection of its own, outside any transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        execute(connection, _STAGES)

    def write(self, rows: Sequence[bytes], keys: Sequence[bytes] = ()) -> set[Number]:
        """Store a batch, durably; return the numbers that had been stored before.

        All or nothing. The empty set is the usual answer, and the fast one: only
        where the tables' keys refuse the batch is it done again, to learn which
        packets were there.

        Raises:
            TakenError: a number or kid is taken by other bytes; nothing is stored.
            UnpartitionedError: a day has no partition; nothing is stored.
            UnavailableError: PostgreSQL is away; the batch may be stored or not.
            psycopg.DataError, psycopg.IntegrityError: a row breaks a rule.
        """
        with reachable():
            try:
                if self._store(rows, keys):
                    return set()
                return self._store_and_tell(rows, keys)
            except psycopg.errors.CheckViolation as error:
                if error.diag.constraint_name is None:  # so a missing partition says
                    raise UnpartitionedError("a day has no partition") from error
                raise

    def write_halving(
        self, rows: Sequence[bytes], keys: Sequence[bytes] = ()
    ) -> Outcome:
        """Store what can be stored of a batch and say what cannot, and why.

        A failing batch is halved until the bad rows stand alone; those of a day
        without a partition, and those whose number is taken, are told at once. Each
        part is a transaction of its own.

        Raises:
            UnavailableError: PostgreSQL is away; parts may be stored.
        """
        bad: dict[Number, str] = {}
        parts: list[Sequence[bytes]] = []
        try:
            return Outcome(existing=self.write(rows, keys))
        except TakenError as error:
            bad = dict.fromkeys(error.numbers, error.reason)
            parts = [[packed for packed in rows if number(packed) not in bad]]
        except UnpartitionedError as error:
            days = {number(packed)[2] for packed in rows}
            if len(days) == 1:
                bad = {number(packed): error.reason for packed in rows}
            else:
                parts = [[r for r in rows if number(r)[2] == one] for one in days]
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if len(rows) == 1:
                bad = {number(rows[0]): type(error).__name__.lower()}
            else:
                middle = len(rows) // 2
                parts = [rows[:middle], rows[middle:]]
        return self._write_parts(parts, keys, bad)

    def _write_parts(
        self,
        parts: Sequence[Sequence[bytes]],
        keys: Sequence[bytes],
        bad: dict[Number, str],
    ) -> Outcome:
        """Write each of *parts* with the keys that belong to it; *bad* stay out."""
        whole = Outcome(refused=bad)
        for part in filter(None, parts):
            numbers = {number(packed) for packed in part}
            theirs = [packed for packed in keys if _number_of_key(packed) in numbers]
            outcome = self.write_halving(part, theirs)
            whole.existing.update(outcome.existing)
            whole.refused.update(outcome.refused)
        return whole

    def _store(self, rows: Sequence[bytes], keys: Sequence[bytes]) -> bool:
        """Store the batch if all of it is new; else store nothing and say False."""
        try:
            with self._connection.transaction():
                self._copy(rows, _COPY)
                self._copy(keys, _COPY_KEYS)
        except psycopg.errors.UniqueViolation:
            return False
        return True

    def _store_and_tell(
        self, rows: Sequence[bytes], keys: Sequence[bytes]
    ) -> set[Number]:
        """Store what is new of the batch and return what was there."""
        with self._connection.transaction():
            self._copy(rows, _STAGE)  # the tables empty themselves
            self._copy(keys, _STAGE_KEYS)
            stored = set(
                self._connection.execute(
                    _STORE + " returning cred, seq, day - '1970-01-01'"
                ).fetchall()
            )
            self._connection.execute(_STORE_KEYS)
            if taken := self._connection.execute(_OTHER_BYTES).fetchall():
                raise TakenError(taken)
        return {number(packed) for packed in rows} - stored

    def _copy(self, rows: Sequence[bytes], statement: LiteralString) -> None:
        """Copy *rows*, if there are any."""
        if rows:
            with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(b"".join((_HEADER, *rows, _TRAILER)))


def digest(connection: Connection, cred: int, seq: int, epoch: int) -> bytes | None:
    """Return the SHA-256 of a stored packet, which intake may not read, or None."""
    found = execute(
        connection, "select store.digest(%s, %s, %s)", (cred, seq, day(epoch))
    ).fetchone()
    return found[0] if found else None


def marks(connection: Connection, since_epoch: int) -> dict[tuple[int, int], int]:
    """Return for each (cred, epoch) from *since_epoch* on its mark, counted exactly.

    The mark is the smallest seq that is not stored: all below it are. A receipt's
    row only says where to begin counting; stale or missing ones change nothing.
    """
    found = execute(
        connection,
        """
        with newer as (
          select p.cred, p.day, p.seq, coalesce(r.upto, 0) as upto,
            row_number() over (partition by p.cred, p.day order by p.seq) as nth
          from store.packet p left join store.receipt r using (cred, day)
          where p.day >= %(day)s and p.seq >= coalesce(r.upto, 0)),
        counted as (
          select cred, day, coalesce(
            max(seq) filter (where seq = upto + nth - 1) + 1, min(upto)) as upto
          from newer group by cred, day)
        select cred, day - '1970-01-01', upto from counted
        union all
        select r.cred, r.day - '1970-01-01', r.upto from store.receipt r
          where r.day >= %(day)s and not exists (
            select from counted c where c.cred = r.cred and c.day = r.day)""",
        {"day": day(since_epoch)},
    ).fetchall()
    return {(cred, epoch): upto for cred, epoch, upto in found}


def flush_receipts(
    connection: Connection, receipts: Mapping[tuple[int, int], tuple[int, bytes]]
) -> None:
    """Save marks as {(cred, epoch): (upto, SHA-256 of packet upto - 1)}.

    One statement for all. A mark never falls, whoever else has saved one meanwhile.
    """
    execute(
        connection,
        "insert into store.receipt (cred, day, upto, last)"
        " select * from unnest(%s::bigint[], %s::date[], %s::bigint[], %s::bytea[])"
        " on conflict (cred, day) do update"
        " set upto = excluded.upto, last = excluded.last, at = now()"
        " where receipt.upto < excluded.upto",
        (
            [cred for cred, _ in receipts],
            [day(epoch) for _, epoch in receipts],
            [upto for upto, _ in receipts.values()],
            [last for _, last in receipts.values()],
        ),
    )


def refused(  # noqa: PLR0913, PLR0917 - a counter's key and its value
    connection: Connection,
    epoch: int,
    cred: int,
    reason: str,
    digest32: bytes,
    n: int = 1,
) -> None:
    """Count *n* refused packets of a day; *cred* is 0 for an unknown alias.

    The row keeps *digest32* of the first, so a flood of them is one row.
    """
    execute(
        connection,
        "insert into store.refused (day, cred, reason, digest, n)"
        " values (%s, %s, %s, %s, %s) on conflict (day, cred, reason)"
        " do update set n = refused.n + excluded.n, last_at = now()",
        (day(epoch), cred, reason, digest32, n),
    )
