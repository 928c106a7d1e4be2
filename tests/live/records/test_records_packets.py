"""Readers get what is stored, in order, in streams, and unread."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sealward.records import database, ingest, packets

if TYPE_CHECKING:
    from tests.live.records.conftest import Bed, Ward


def store(ward: Ward, bed: Bed, epoch: int, n: int, kind: int = 0) -> None:
    """Store *n* packets of a day, numbered from 0."""
    with ward.connect("custody") as custody, ward.connect("intake") as intake:
        packets.make_day(custody, epoch)
        ingest.Writer(intake).write(
            [ingest.row(bed.cred, s, epoch, kind, 0, bytes(100)) for s in range(n)]
        )


@pytest.mark.parametrize("role", ["ward", "analyst"])
def test_a_reader_gets_what_it_has_not(ward: Ward, bed: Bed, role: str) -> None:
    """A credential carried over midnight numbers each day from 0."""
    store(ward, bed, ward.epoch, 5)
    store(ward, bed, ward.epoch + 1, 3)
    had = {(bed.cred, ward.epoch): 2}
    with ward.connect(role) as reader:
        found = list(packets.packets(reader, [bed.cred], had))
        some = list(packets.packets(reader, [bed.cred], had, limit=2))
    assert [(p.epoch - ward.epoch, p.seq) for p in found] == [
        *((0, 3), (0, 4)),
        *((1, 0), (1, 1), (1, 2)),
    ]
    assert some == found[:2]


def test_a_reader_may_ask_for_some_kinds(ward: Ward, bed: Bed) -> None:
    """Trends are drawn from rollups alone."""
    store(ward, bed, ward.epoch, 3, kind=2)
    with ward.connect("analyst") as reader:
        assert len(list(packets.packets(reader, [bed.cred], kinds=[2, 3]))) == 3
        assert not list(packets.packets(reader, [bed.cred], kinds=[0]))
        assert not list(packets.packets(reader, []))


def test_a_stream_holds_no_transaction_open(ward: Ward, bed: Bed) -> None:
    """A slow browser would otherwise be cut off after five seconds."""
    store(ward, bed, ward.epoch, 1_200)
    with ward.connect("ward") as reader:
        stream = packets.packets(reader, [bed.cred])
        next(stream)
        assert reader.info.transaction_status.name == "IDLE"
        assert len(list(stream)) == 1_199


def test_an_abandoned_stream_leaves_the_connection_fit(ward: Ward, bed: Bed) -> None:
    """The cursor goes with its reader, and the next one may be opened."""
    store(ward, bed, ward.epoch, 600)
    with ward.connect("ward") as reader:
        for _ in range(2):
            stream = packets.packets(reader, [bed.cred])
            assert next(stream).seq == 0
            stream.close()


def test_ward_sees_sizes_and_no_bodies(ward: Ward, bed: Bed) -> None:
    """Its overview names alias, kind and length of what has come since."""
    with ward.connect("ward") as reader:
        before = database.execute(reader, "select now()").fetchone()
        assert before is not None
        store(ward, bed, ward.epoch, 2)
        mine = [a for a in packets.overview(reader, before[0]) if a.alias == bed.alias]
        assert [(a.kind, a.size) for a in mine] == [(0, 100), (0, 100)]
        assert packets.overview(reader, before[0] + timedelta(hours=1)) == []


def test_packets_are_counted_by_kind(ward: Ward, bed: Bed) -> None:
    """For one day or for all."""
    epoch = ward.epoch + 2
    with ward.connect("ward") as reader:
        before = packets.counts(reader, epoch).get(5, 0)
        store(ward, bed, epoch, 4, kind=5)
        assert packets.counts(reader, epoch)[5] == before + 4
        assert packets.counts(reader)[5] >= before + 4


def test_a_day_is_made_once_and_like_the_others(ward: Ward) -> None:
    """Its partition has the parent's key, its storage and its checks."""
    epoch = ward.epoch + 30
    with ward.connect("keeper") as keeper, ward.connect("owner") as owner:
        assert packets.make_day(keeper, epoch)
        assert not packets.make_day(keeper, epoch)
        shapes = owner.execute(
            """
            select count(distinct (attstorage, attnotnull)) filter (
                where attname = 'body'),
              count(distinct (select count(*) from pg_index where indrelid = oid)),
              count(distinct (select count(*) from pg_constraint
                where conrelid = oid and contype = 'c'))
            from pg_class join pg_attribute on attrelid = oid and attnum > 0
            where oid = 'store.packet'::regclass or oid in (
              select inhrelid from pg_inherits
              where inhparent = 'store.packet'::regclass)"""
        ).fetchone()
    assert shapes == (1, 1, 1)


def test_readers_ask_by_index(ward: Ward, bed: Bed) -> None:
    """No query of a reader walks through a day of everybody's packets."""
    store(ward, bed, ward.epoch, 10)
    with ward.connect("ward") as reader:
        reader.execute("set enable_seqscan = off")  # too few rows here to be fair
        for query in (
            "select body from store.packet where cred = any('{1, 2}') and seq > 5",
            "select 1 from store.packet where recv > now()",
            "select body from store.key_record where cred = any('{1}')",
        ):
            plan = reader.execute(f"explain {query}".encode()).fetchall()
            assert not [line for (line,) in plan if "Seq Scan" in line], plan
