"""No key that could open a packet is anywhere in what the server is made of."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.memory import found, spellings
from tests.support.site import Ward, until, ward

from sealward import clock
from sealward.analyst.person import Person
from sealward.packet.profile import BED_1
from sealward.records import database, packets, registry
from sealward.seal import envelope, keys, opening, signing
from sealward.seal.curve import Hybrid
from sealward.seal.kem import Kem

TODAY = int(clock.now().timestamp()) // 86_400
SERVER = ("intake", "broker", "postgres")


@pytest.fixture(scope="module")
def site() -> Iterator[Ward]:
    """Return a site in which a gateway sends and a reader reads."""
    try:
        Path("/proc/1/mem").open("rb").close()
    except OSError:
        if os.geteuid():
            pytest.skip("the memory of other processes may not be read here")
    with ward() as made:
        (patient,) = made.enrol(1)
        made.gateway("gateway-1", patient.gateway)
        read = made.watch("reader", made.reader("nurse", "role:nurse", "ward:icu"))
        until(lambda: len(read.names("opened", "vitals")) >= 3)
        yield made


def secrets_of(site: Ward) -> dict[str, bytes]:
    """Return every secret by which packets of today open, and where each belongs."""
    root = site.site.root
    person = Person(
        root / "reader-nurse", root / "custody/desk.sock", root / "authority/desk.sock"
    )
    kem = Kem(Hybrid())
    now = clock.now()
    key = asyncio.run(person.fetch_key(kem, TODAY, TODAY, now))
    assert site.site.database is not None
    with database.connect(site.site.database.url("analyst")) as connection:
        (bed,) = registry.beds(connection)
        (record, *_) = packets.key_records(connection, [bed.cred], [TODAY])
    salts = asyncio.run(person.fetch_salts(bed.patient_id, TODAY, TODAY, now))
    outside = envelope.read(record.body)
    opened = opening.open_record(
        kem,
        opening.load(kem, key),
        outside.body,
        outer=(bed.alias, outside.epoch, keys.LIVE, outside.kid),
        salts=salts,
        pseudonym=bed.pseudonym,
        profile_hash=BED_1.digest(),
        ldevid_spki=signing.spki(signing.from_point65(bed.pubkey65)),
        pinned_idevid=bed.device_spki,
    )
    return {
        "data key": opened.keys.data,
        "coc key": opened.keys.coc,
        "day salt": salts[TODAY],
        "master key": (root / "authority/share").read_bytes(),
        "attribute key": key.k,
        "vault key": (root / "custody/kek-1").read_bytes(),
    }


def pids(site: Ward, name: str) -> list[int]:
    """Return the process ids of *name*, PostgreSQL's children among them."""
    if name == "postgres":
        assert site.site.database is not None
        return site.site.database.pids()
    return [site.site.pids()[name]]


def test_the_servers_memory_holds_no_key(site: Ward) -> None:
    """Intake, broker and PostgreSQL hold none; the reader holds his, as a control."""
    secrets = secrets_of(site)
    for name in SERVER:
        for pid in pids(site, name):
            assert found(pid, secrets) == set(), name
    assert "data key" in found(site.site.pids()["reader"], secrets)
    assert {"data key", "day salt"} <= found(site.site.pids()["gateway-1"], secrets)
    assert "vault key" in found(site.site.pids()["custody"], secrets)
    assert "master key" not in found(site.site.pids()["custody"], secrets)


def test_the_servers_files_and_rows_hold_no_key(site: Ward) -> None:
    """Nothing at rest opens a packet; custody's folder holds its key, as a control."""
    secrets = secrets_of(site)
    root = site.site.root

    def at_rest(*folders: str) -> set[str]:
        data = [
            path.read_bytes()
            for folder in folders
            for path in (root / folder).rglob("*")
            if path.is_file() and not path.is_symlink()
        ]
        return {
            name
            for name, secret in secrets.items()
            if any(way in each for each in data for way in spellings(secret))
        }

    site.rows("checkpoint")
    assert at_rest("intake", "broker", "postgres", "ward", "log") == set()
    assert at_rest("custody") == {"vault key"}
    assert "day salt" in at_rest("gateway-1")


def test_every_row_of_the_database_is_free_of_keys(site: Ward) -> None:
    """Read as the owner, column by column, no value contains a secret."""
    secrets = secrets_of(site)
    tables = site.rows(
        "select schemaname || '.' || tablename from pg_tables"
        " where schemaname in ('registry', 'store', 'vault', 'audit', 'alarm')"
    )
    assert len(tables) > 10
    for (table,) in tables:
        for row in site.rows(f"select t::text from {table} t"):  # noqa: S608 - its names
            text = str(row[0]).encode()  # bytes as hexadecimal digits
            for name, secret in secrets.items():
                assert not any(way in text for way in spellings(secret)), (table, name)
