"""Kill each part once under load: what was sealed arrives, and once."""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.site import PATIENCE, Ward, ward

Name = tuple[str, int, int]  # alias, epoch, seq


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Return a site with gateways that send, two of them 60 packets a second."""
    yield from made(tmp_path_factory.mktemp("recording"))


def made(folder: Path) -> Iterator[Ward]:
    """Yield such a site; its recording lies in *folder*."""
    hour = folder / "hour.csv"
    hour.write_text("hr\n" + "70\n71\n" * 1800, encoding="utf-8")
    load = ("--replay", str(hour), "--speed", "60")
    with ward() as site:
        for number, patient in enumerate(site.enrol(3)):
            more = load if number else ()
            site.gateway(f"gateway-{number + 1}", patient.gateway, *more)
        site.watch("reader", site.reader("nurse", "role:nurse", "ward:icu"))
        yield site


def tended(site: Ward, seconds: float) -> None:
    """Let *seconds* pass while the launcher watches over the site."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        site.site.tend()
        time.sleep(0.05)


def until_tended(site: Ward, what: object, seconds: float = PATIENCE) -> None:
    """Wait until *what*, called, is true, while the launcher watches."""
    end = time.monotonic() + seconds
    while not (callable(what) and what()):
        assert time.monotonic() < end, f"not within {seconds} s"
        tended(site, 0.1)


def spooled(root: Path) -> dict[Name, bytes]:
    """Return every packet that the gateways still hold, by name."""
    found: dict[Name, bytes] = {}
    for path in root.glob("gateway-*/spool.db"):
        with closing(sqlite3.connect(path)) as base:
            for alias, epoch, seq, body in base.execute(
                "select alias, epoch, seq, body from out"
            ):
                assert (alias, epoch, seq) not in found
                found[alias, epoch, seq] = bytes(body)
    return found


def numbered(root: Path) -> dict[tuple[str, int], int]:
    """Return how many numbers each (alias, epoch) has used."""
    found = {}
    for path in root.glob("gateway-*/spool.db"):
        with closing(sqlite3.connect(path)) as base:
            for alias, epoch, following in base.execute(
                "select alias, epoch, next_seq from cred"
            ):
                found[alias, epoch] = following
    return found


def stored(site: Ward) -> list[tuple[Name, bytes]]:
    """Return name and digest of every packet in the database."""
    rows = site.rows(
        "select c.alias, p.day - '1970-01-01'::date, p.seq, sha256(p.body)"
        " from store.packet p join registry.credential c using (cred)"
    )
    return [
        ((str(alias), int(str(epoch)), int(str(seq))), digest)
        for alias, epoch, seq, digest in rows
        if isinstance(digest, bytes)
    ]


def kill(site: Ward, name: str) -> None:
    """Kill the process called *name* as no process can prevent."""
    os.kill(site.site.pids()[name], signal.SIGKILL)


def test_whatever_is_killed_nothing_is_lost_and_nothing_doubled(site: Ward) -> None:
    """Spool plus database hold every packet, none twice, and all of them open."""
    read = site.read["reader"]
    until_tended(site, lambda: len(read.names("opened", "vitals")) >= 3)
    for victim in ("broker", "intake", "postgres", "gateway-1", "custody", "authority"):
        kill(site, victim)
        tended(site, 1.5)
        until_tended(site, lambda name=victim: name in site.site.pids())
        before = len(read.names("opened", "vitals"))
        until_tended(
            site, lambda count=before: len(read.names("opened", "vitals")) > count
        )
    told = " ".join(site.said)
    for victim in ("broker", "intake", "PostgreSQL", "gateway-1", "custody"):
        assert victim in told
    site.site.launcher.stop(["gateway-1", "gateway-2", "gateway-3"])

    held, database = spooled(site.site.root), stored(site)
    names = [name for name, _ in database]
    assert len(names) == len(set(names)), "stored twice"
    for (alias, epoch), following in numbered(site.site.root).items():
        have = {seq for a, e, seq in {*held, *names} if (a, e) == (alias, epoch)}
        assert have == set(range(following)), "a number is lost"
    for name, digest in database:
        if name in held:
            assert sha256(held[name]).digest() == digest
    until_tended(
        site, lambda: len(stored(site)) == sum(numbered(site.site.root).values())
    )
    data = {name for name in dict(stored(site)) if name in site_data(site)}
    until_tended(site, lambda: data <= read.names("opened", "vitals"))


def site_data(site: Ward) -> set[Name]:
    """Return the names of the data packets in the database."""
    rows = site.rows(
        "select c.alias, p.day - '1970-01-01'::date, p.seq"
        " from store.packet p join registry.credential c using (cred)"
        " where p.kind in (0, 1)"
    )
    return {(str(a), int(str(e)), int(str(s))) for a, e, s in rows}
