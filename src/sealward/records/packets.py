"""Sealed packets as readers fetch them: unread, in order, streamed."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from psycopg.rows import class_row

from sealward.records.database import (
    Connection,
    day,
    execute,
    rows,
    translated,
)

_streams = count()  # two readers may take turns on one connection
_PAGE = 500  # rows fetched at a time: some 100 kB of vitals, 4 MB of waves


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A stored packet; *body* is as it was signed. *recv* proves nothing to readers."""

    cred: int
    epoch: int
    seq: int
    kind: int
    t0: datetime
    recv: datetime
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A stored key record; *kid* is the first four bytes of *rid*."""

    cred: int
    epoch: int
    kid: bytes
    rid: bytes
    seq: int
    made_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What ward may say of a packet: whose alias, which kind, how many bytes, when."""

    alias: str
    kind: int
    size: int
    recv: datetime


def make_day(connection: Connection, epoch: int) -> bool:
    """Make the partition of *epoch*; False if it was there. For custody and keeper."""
    made = execute(connection, "select store.make_day(%s)", (day(epoch),)).fetchone()
    return bool(made and made[0])


def packets(
    connection: Connection,
    creds: Sequence[int],
    after: Mapping[tuple[int, int], int] | None = None,
    *,
    kinds: Sequence[int] | None = None,
    limit: int | None = None,
) -> Generator[Packet, None, None]:
    """Yield the packets of *creds* by cred, epoch and seq.

    *after* gives for (cred, epoch) the last seq that the reader has: a credential
    carried over midnight numbers the new day from 0. The rows come from a cursor that
    outlives its transaction, so a slow reader holds none open and memory stays small.
    """
    had = after or {}
    with (
        translated(),
        connection.cursor(
            f"packets{next(_streams)}", row_factory=class_row(Packet), withhold=True
        ) as cursor,
    ):
        cursor.itersize = _PAGE
        cursor.execute(
            """
            select p.cred, p.day - '1970-01-01' as epoch, p.seq, p.kind, p.t0, p.recv,
              p.body
            from store.packet p left join
              unnest(%(had)s::bigint[], %(days)s::date[], %(seqs)s::bigint[])
              as h (cred, day, seq) on h.cred = p.cred and h.day = p.day
            where p.cred = any(%(creds)s::bigint[]) and p.seq > coalesce(h.seq, -1)
              and (%(kinds)s::smallint[] is null or p.kind = any(%(kinds)s))
            order by p.cred, p.day, p.seq limit %(limit)s""",
            {
                "had": [cred for cred, _ in had],
                "days": [day(epoch) for _, epoch in had],
                "seqs": list(had.values()),
                "creds": list(creds),
                "kinds": None if kinds is None else list(kinds),
                "limit": limit,
            },
        )
        yield from cursor


def key_records(
    connection: Connection, creds: Sequence[int], epochs: Sequence[int]
) -> list[KeyRecord]:
    """Return the key records of *creds* for the days *epochs*, in order of seq."""
    return rows(
        connection,
        KeyRecord,
        "select cred, day - '1970-01-01' as epoch, kid, rid, seq, made_at, body"
        " from store.key_record where cred = any(%s::bigint[])"
        " and day = any(%s::date[]) order by cred, day, seq",
        (list(creds), [day(epoch) for epoch in epochs]),
    )


def overview(connection: Connection, after: datetime) -> list[Arrival]:
    """Return what came after the moment *after*, the oldest first, without a body.

    Give the last answer's greatest *recv*. Rows of one moment are one batch; a
    batch that committed late may be missed, so this is for a screen, not a proof.
    """
    return rows(
        connection,
        Arrival,
        "select c.alias, p.kind, octet_length(p.body) as size, p.recv"
        " from store.packet p join registry.credential c using (cred)"
        " where p.recv > %s order by p.recv, p.cred, p.seq",
        (after,),
    )


def counts(connection: Connection, epoch: int | None = None) -> dict[int, int]:
    """Return how many packets are stored, by kind, of one day or of all.

    It reads every row's head: for a screen of a small ward, and for checks.
    """
    found = execute(
        connection,
        "select kind, count(*) from store.packet"
        " where day = coalesce(%s::date, day) group by kind",
        (None if epoch is None else day(epoch),),
    )
    return dict(found.fetchall())
