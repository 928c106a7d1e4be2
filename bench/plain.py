"""Plain stacks on the same PostgreSQL: JSON parsed and copied into rows, unsealed.

The rows go by COPY's text, the quickest of four ways, both ends together: 5.1 us a
reading of an array, where psycopg's own binary rows took 6.4, since each time must be
parsed in Python for them; lines joined by hand took 5.5, binary ones by hand 5.2.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TypeAlias

from bench import rivals
from bench.clocks import quotient, turns
from bench.senders import EPOCH, Senders, busy, keep, postgres
from bench.table import Row

from sealward.intake.door import Door
from sealward.intake.store import Storeroom
from sealward.records import database
from sealward.records.database import Connection
from sealward.records.postgres import Server

READINGS = 240  # in a minute of four vitals
PACKETS = 1000  # of ours in a transaction
ARRAYS = 100  # of theirs in a transaction, and as many readings one by one
ROUNDS = 7
VITALS = (("hr", "/min"), ("spo2", "%"), ("rr", "/min"), ("tskin", "Cel"))
OURS = "sealed packets of 240"
ONES, MANY = "JSON, an object a reading", "JSON, arrays of 240"

_TABLE = """
    create table public.reading (
      id bigserial primary key, device_id text not null, patient_id uuid not null,
      type text not null, value double precision not null, unit text not null,
      ts timestamptz not null);
    create index on public.reading (patient_id, type, ts)"""
_COPY = "copy public.reading (device_id, patient_id, type, value, unit, ts) from stdin"
_OURS_SIZE = """
    select sum(pg_total_relation_size(inhrelid))::float8
      / (select count(*) from store.packet)
    from pg_inherits where inhparent = 'store.packet'::regclass"""
_THEIR_SIZE = """
    select pg_total_relation_size('public.reading')::float8 / count(*)
    from public.reading"""


def _message(number: int) -> list[dict[str, object]]:
    """Return the readings of a minute."""
    return [
        rivals.reading(*VITALS[at & 3], 72 + (at + number) % 7, at // 4)
        for at in range(READINGS)
    ]


MESSAGES = [_message(number) for number in range(ARRAYS)]
ARRAY_TEXTS = [rivals.compact(rivals.batch(message)) for message in MESSAGES]
OBJECT_TEXTS = [
    rivals.compact(rivals.WHOSE | each) for message in MESSAGES for each in message
]

Record: TypeAlias = tuple[object, ...]


def _ones(texts: Sequence[str]) -> Iterator[Record]:
    """Yield the row of each of *texts*, an object each."""
    for text in texts:
        yield tuple(json.loads(text).values())


def _many(texts: Sequence[str]) -> Iterator[Record]:
    """Yield the rows of *texts*, an array each."""
    for text in texts:
        parsed = json.loads(text)
        device, patient = parsed["device_id"], parsed["patient_id"]
        for each in parsed["readings"]:
            yield device, patient, *each.values()


def _copy(connection: Connection, records: Iterator[Record]) -> None:
    """Copy *records* in one transaction."""
    with (
        connection.transaction(),
        connection.cursor() as cursor,
        cursor.copy(_COPY) as copy,
    ):
        for record in records:
            copy.write_row(record)


def rows() -> Iterator[Row]:
    """Measure the three in turns, PostgreSQL's CPU included."""
    with (
        postgres() as server,
        closing(database.connect(server.url("owner"))) as owner,
        closing(Storeroom(server.url("intake"))) as store,
    ):
        owner.execute(_TABLE)
        senders = Senders(server, 50)
        door = Door()
        door.learn(senders.rows)
        store.marks(EPOCH)  # connects
        batches = iter([senders.batch(PACKETS) for _ in range(ROUNDS + 1)])
        acts: dict[str, Callable[[], object]] = {
            ONES: lambda: _copy(owner, _ones(OBJECT_TEXTS)),
            MANY: lambda: _copy(owner, _many(ARRAY_TEXTS)),
            OURS: lambda: keep(door, store, next(batches)),
        }
        for act in acts.values():
            act()  # once unmeasured: plans, pages and buffers
        database_clock = busy(server)
        taken = turns(acts, ROUNDS, lambda: time.process_time() + database_clock())
        yield from _rates(taken)
        yield from _sizes(server, owner)


def _rates(taken: dict[str, list[float]]) -> Iterator[Row]:
    theirs = ARRAYS * READINGS
    each = {
        name: [seconds / theirs for seconds in taken[name]] for name in (ONES, MANY)
    }
    each[OURS] = [seconds / PACKETS / READINGS for seconds in taken[OURS]]
    for name, seconds in each.items():
        median = statistics.median(seconds)
        yield Row(
            what=f"{name}, into PostgreSQL",
            value=1 / median,
            unit="readings a second and core",
            also={"us a reading": median * 1e6},
        )
    for name, least in ((ONES, 12), (MANY, 10)):
        yield Row(
            what=f"{OURS} / {name}",
            value=quotient(each[name], each[OURS]),
            unit="x the readings a second",
            least=least,
            room=0.05,
        )


def _sizes(server: Server, owner: Connection) -> Iterator[Row]:
    """Compare what lies on the disk, indexes included."""
    with closing(database.connect(server.url("owner"))) as connection:
        connection.execute("vacuum analyze")
    (ours,) = owner.execute(_OURS_SIZE).fetchone() or (0.0,)
    (theirs,) = owner.execute(_THEIR_SIZE).fetchone() or (0.0,)
    for name, size in ((OURS, ours / READINGS), ("rows", theirs)):
        yield Row(what=f"{name}, on the disk", value=size, unit="B a reading")
    yield Row(
        what=f"rows / {OURS}, on the disk",
        value=theirs * READINGS / ours,
        unit="x",
        least=50,
    )
