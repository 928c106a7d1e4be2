"""Packets are stored exactly once, whatever comes twice, late or broken."""

from __future__ import annotations

import os
import signal
import threading
import time
from hashlib import sha256
from typing import TYPE_CHECKING

import psycopg
import pytest

from sealward.errors import UnavailableError
from sealward.records import database, ingest, packets
from sealward.records.ingest import TakenError, UnpartitionedError
from sealward.records.postgres import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.records.conftest import Bed, Ward

NOON_MS = 1_795_435_200_000  # 2026-11-23 12:00 UTC


def packed(ward: Ward, bed: Bed, *numbers: int, text: str = "") -> list[bytes]:
    """Return a row for each of *numbers*, whose body tells the number and *text*."""
    return [
        ingest.row(
            bed.cred, n, ward.epoch, 0, NOON_MS + n * 10_000, f"{n}{text}".encode()
        )
        for n in numbers
    ]


def key(ward: Ward, bed: Bed, seq: int, body: bytes = b"record") -> bytes:
    """Return a key record of the packet *seq*, always of the same kid."""
    return ingest.key_row(
        bed.cred, ward.epoch, b"kid.", b"kid." + bytes(12), seq, NOON_MS, body
    )


@pytest.fixture
def intake(ward: Ward) -> Iterator[database.Connection]:
    """Return intake's connection."""
    with ward.connect("intake") as connection:
        yield connection


def test_a_batch_is_stored_as_it_was_packed(
    ward: Ward, bed: Bed, intake: database.Connection
) -> None:
    """Every column comes back, the time to the millisecond."""
    writer = ingest.Writer(intake)
    assert writer.write(packed(ward, bed, 0, 1), [key(ward, bed, 0)]) == set()
    with ward.connect("ward") as reader:
        first, second = packets.packets(reader, [bed.cred])
        (record,) = packets.key_records(reader, [bed.cred], [ward.epoch])
    assert (first.cred, first.epoch, first.seq) == (bed.cred, ward.epoch, 0)
    assert (first.kind, first.t0, first.body) == (0, ward.noon, b"0")
    assert second.t0.timestamp() * 1000 == NOON_MS + 10_000
    assert (record.kid, record.seq, record.made_at) == (b"kid.", 0, ward.noon)
    assert (record.rid, record.body) == (b"kid." + bytes(12), b"record")


def test_a_batch_sent_twice_is_stored_once(
    ward: Ward, bed: Bed, intake: database.Connection
) -> None:
    """The broker may deliver again what was stored; the answer names all of it."""
    writer = ingest.Writer(intake)
    rows, keys = packed(ward, bed, *range(50)), [key(ward, bed, 7)]
    assert writer.write(rows, keys) == set()
    again = writer.write(rows, keys)
    assert again == {(bed.cred, n, ward.epoch) for n in range(50)}
    with ward.connect("ward") as reader:
        assert len(list(packets.packets(reader, [bed.cred]))) == 50


def test_of_a_batch_half_known_the_other_half_is_stored(
    ward: Ward, bed: Bed, intake: database.Connection
) -> None:
    """The answer tells old from new, so that only the new is published."""
    writer = ingest.Writer(intake)
    writer.write(packed(ward, bed, 0, 1, 2, 3))
    known = writer.write(packed(ward, bed, 2, 3, 4, 5))
    assert known == {(bed.cred, 2, ward.epoch), (bed.cred, 3, ward.epoch)}
    assert ingest.marks(intake, ward.epoch)[bed.cred, ward.epoch] == 6


def test_a_key_record_alone_may_be_known(
    ward: Ward, bed: Bed, intake: database.Connection
) -> None:
    """A record under a second number is no conflict while its bytes are the same."""
    writer = ingest.Writer(intake)
    writer.write(packed(ward, bed, 0), [key(ward, bed, 0)])
    assert writer.write(packed(ward, bed, 1), [key(ward, bed, 1)]) == set()


def test_one_number_is_one_packet_whatever_its_time(
    ward: Ward, bed: Bed, intake: database.Connection
) -> None:
    """The key holds no time: a second slot does not open a second place."""
    writer = ingest.Writer(intake)
    writer.write([ingest.row(bed.cred, 0, ward.epoch, 0, NOON_MS, b"a")])
    assert writer.write([ingest.row(bed.cred, 0, ward.epoch, 0, 0, b"a")])


def test_other_bytes_under_a_taken_number_are_refused(
    ward: Ward, bed: Bed, intake: database.Connection
) -> None:
    """Nothing of that batch is stored, and the first packet stays."""
    writer = ingest.Writer(intake)
    writer.write(packed(ward, bed, 0))
    with pytest.raises(TakenError) as caught:
        writer.write(packed(ward, bed, 0, 1, text="forged"))
    assert caught.value.numbers == {(bed.cred, 0, ward.epoch)}
    assert caught.value.reason == "conflicting"
    assert ingest.digest(intake, bed.cred, 0, ward.epoch) == sha256(b"0").digest()
    assert ingest.digest(intake, bed.cred, 1, ward.epoch) is None


def test_other_bytes_under_a_taken_kid_are_refused(
    ward: Ward, bed: Bed, intake: database.Connection
) -> None:
    """A second key record of one kid would make readers open with the wrong key."""
    writer = ingest.Writer(intake)
    writer.write(packed(ward, bed, 0), [key(ward, bed, 0)])
    outcome = writer.write_halving(
        packed(ward, bed, 1, 2), [key(ward, bed, 1, b"other")]
    )
    assert outcome.refused == {(bed.cred, 1, ward.epoch): "conflicting"}
    assert ingest.marks(intake, ward.epoch)[bed.cred, ward.epoch] == 1
    assert ingest.digest(intake, bed.cred, 2, ward.epoch) == sha256(b"2").digest()


def test_a_day_without_a_partition_is_said_so(
    ward: Ward, bed: Bed, intake: database.Connection
) -> None:
    """It is an alarm and a later try, and the other days of the batch are stored."""
    writer = ingest.Writer(intake)
    elsewhere = ingest.row(bed.cred, 0, ward.epoch + 400, 0, NOON_MS, b"x")
    with pytest.raises(UnpartitionedError):
        writer.write([elsewhere])
    outcome = writer.write_halving([*packed(ward, bed, 0, 1), elsewhere])
    assert outcome.refused == {(bed.cred, 0, ward.epoch + 400): "unpartitioned"}
    assert ingest.marks(intake, ward.epoch)[bed.cred, ward.epoch] == 2


def test_one_bad_row_does_not_cost_its_batch(
    ward: Ward, bed: Bed, intake: database.Connection
) -> None:
    """Halving finds it, names PostgreSQL's error, and stores all the others."""
    writer = ingest.Writer(intake)
    rows = packed(ward, bed, *range(64))
    rows[37] = ingest.row(bed.cred, 37, ward.epoch, 0, NOON_MS, bytes(65_537))
    with pytest.raises(psycopg.IntegrityError):
        writer.write(rows)
    outcome = writer.write_halving(rows, [key(ward, bed, 5), key(ward, bed, 37)])
    assert outcome.refused == {(bed.cred, 37, ward.epoch): "checkviolation"}
    assert ingest.marks(intake, ward.epoch)[bed.cred, ward.epoch] == 37
    with ward.connect("ward") as reader:
        records = packets.key_records(reader, [bed.cred], [ward.epoch])
    assert [record.seq for record in records] == [5]


def test_two_intakes_on_one_partition_store_once(ward: Ward, bed: Bed) -> None:
    """A lease that two believe in for a moment costs a duplicate try, no more."""
    known: list[int] = []

    def take() -> None:
        with ward.connect("intake") as connection:
            writer = ingest.Writer(connection)
            for start in range(0, 400, 20):
                rows = packed(ward, bed, *range(start, start + 20))
                known.append(len(writer.write(rows)))

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(known) == 400
    with ward.connect("intake") as intake:
        assert ingest.marks(intake, ward.epoch)[bed.cred, ward.epoch] == 400


@pytest.mark.parametrize("receipt", [None, 1, 3, 4])
def test_a_mark_is_exact_whatever_the_receipts_say(
    ward: Ward, bed: Bed, intake: database.Connection, receipt: int | None
) -> None:
    """It ends at the first hole (4 here), with no, a stale and a fresh receipt."""
    ingest.Writer(intake).write(packed(ward, bed, 0, 1, 2, 3, 5, 6))
    if receipt is not None:
        saved = {(bed.cred, ward.epoch): (receipt, bytes(32))}
        ingest.flush_receipts(intake, saved)
    assert ingest.marks(intake, ward.epoch)[bed.cred, ward.epoch] == 4


def test_a_mark_of_a_quiet_credential_is_its_receipt(
    ward: Ward, bed: Bed, intake: database.Connection
) -> None:
    """Its packets may be repacked: the receipt alone remembers them."""
    ingest.flush_receipts(intake, {(bed.cred, ward.epoch): (9, bytes(32))})
    assert ingest.marks(intake, ward.epoch)[bed.cred, ward.epoch] == 9


def test_a_saved_mark_never_falls(
    ward: Ward, bed: Bed, intake: database.Connection
) -> None:
    """Who owned a partition before may save late, and must not undo."""
    for upto in (9, 7):
        ingest.flush_receipts(intake, {(bed.cred, ward.epoch): (upto, bytes(32))})
    assert ingest.marks(intake, ward.epoch)[bed.cred, ward.epoch] == 9


def test_a_flood_of_refused_packets_is_one_row(
    ward: Ward, bed: Bed, intake: database.Connection
) -> None:
    """An attacker fills no disk; the first packet's digest is kept."""
    for n in range(200):
        digest = sha256(bytes([n])).digest()
        ingest.refused(intake, ward.epoch, bed.cred, "forged", digest, n=2)
    with ward.connect("ward") as reader:
        found = database.execute(
            reader,
            "select n, digest from store.refused where cred = %s",
            (bed.cred,),
        ).fetchall()
    assert found == [(400, sha256(b"\0").digest())]


def test_a_killed_postgresql_loses_nothing_it_has_confirmed(made: Path) -> None:
    """Kill -9 under load; after the restart the confirmed are there, none twice."""
    server = Server.start(made)
    confirmed = 0
    connection = database.connect(server.url("intake"))
    writer = ingest.Writer(connection)
    killer = threading.Timer(0.3, os.kill, (server.pid, signal.SIGKILL))
    killer.start()
    bodies = [bytes([n % 251]) * 190 for n in range(500)]

    def batch(start: int) -> list[bytes]:
        return [
            ingest.row(7, start + n, 20_780, 0, NOON_MS, body)
            for n, body in enumerate(bodies)
        ]

    def flood() -> None:
        nonlocal confirmed
        while True:
            assert writer.write(batch(confirmed)) == set()
            confirmed += 500

    with pytest.raises(UnavailableError):
        flood()
    killer.join()
    connection.close()
    deadline = time.monotonic() + 5
    while server.alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    server.stop()
    with (
        Server.start(made) as again,
        database.connect(again.url("intake")) as intake,
    ):
        mark = ingest.marks(intake, 20_780).get((7, 20_780), 0)
        assert mark in (confirmed, confirmed + 500)  # stored, but the answer was lost
        writer = ingest.Writer(intake)
        assert len(writer.write(batch(confirmed))) == mark - confirmed
        assert ingest.marks(intake, 20_780)[7, 20_780] == confirmed + 500
