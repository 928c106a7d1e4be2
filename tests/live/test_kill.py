"""Kill each part once under load: what was sealed arrives, and once."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.support import ledger
from tests.support.site import PATIENCE, Heard, Ward, until, ward

from sealward.records.database import connect
from sealward.records.postgres import Server

FAST = "60"  # packets a second and gateway, each of a second of a recording


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Return a site with gateways that send, two of them 60 packets a second."""
    yield from made(tmp_path_factory.mktemp("recording"))


def made(folder: Path) -> Iterator[Ward]:
    """Yield such a site; its recording lies in *folder*."""
    hour = folder / "hour.csv"
    hour.write_text("hr\n" + "70\n71\n" * 1800, encoding="utf-8")
    load = ("--replay", str(hour), "--speed", FAST)
    with ward() as site:
        for number, patient in enumerate(site.enrol(3)):
            more = load if number else ()
            site.gateway(f"gateway-{number + 1}", patient.gateway, *more)
        site.watch("reader", site.reader("nurse", "role:nurse", "ward:icu"))
        yield site


def tended(site: Ward, what: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until *what* is true, while the launcher watches over the site."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not within {seconds} s; {site.said[-3:]}"
        site.site.tend()
        time.sleep(0.05)


def grown(heard: Heard, by: int) -> Callable[[], bool]:
    """Return whether *heard* has opened *by* more packets of vitals than now."""
    before = len(heard.names("opened", "vitals"))
    return lambda: len(heard.names("opened", "vitals")) >= before + by


def back(site: Ward, name: str) -> Callable[[], bool]:
    """Return whether the process called *name* runs."""
    return lambda: name in site.site.pids()


def log(site: Ward, name: str) -> str:
    """Return what the process called *name* has logged."""
    path = site.site.root / f"log/{name}.log"
    return path.read_text(encoding="utf-8")


def kill(site: Ward, name: str) -> None:
    """Kill the process called *name* as no process can prevent."""
    os.kill(site.site.pids()[name], signal.SIGKILL)


def live_without_custody(site: Ward, read: Heard) -> None:
    """Kill custody: who is connected goes on, and a new gateway waits for its slip."""
    (patient,) = site.enrol(1)
    kill(site, "custody")
    new = site.gateway("gateway-4", patient.gateway)
    until(grown(read, 20))
    until(lambda: "waiting for=custody" in log(site, "gateway-4"))
    assert not new.lines
    tended(site, lambda: bool(new.names("sealed", "vitals") & read.names("opened")))


def live_without_authority(site: Ward, read: Heard) -> None:
    """Kill the authority: who holds a key reads on, and a new reader waits for his."""
    folder = site.reader("clinician", "role:clinician", "ward:icu")
    kill(site, "authority")
    new = site.watch("reader-2", folder)
    until(grown(read, 20))
    until(lambda: "waiting for=authority" in log(site, "reader-2"))
    assert not new.lines
    tended(site, grown(new, 1))


def test_whatever_is_killed_nothing_is_lost_and_nothing_doubled(
    site: Ward, tmp_path: Path
) -> None:
    """Spools and database hold every number once, with the same bytes, and it opens.

    Killed while packets flow, each part once; the launcher says who died.
    """
    read = site.read["reader"]
    tended(site, grown(read, 3))
    for victim in ("broker", "intake", "postgres", "gateway-1", "gateway-2"):
        kill(site, victim)
        tended(site, back(site, victim))
        tended(site, grown(read, 40))
    live_without_custody(site, read)
    live_without_authority(site, read)
    assert site.said == [
        "the broker ended; it is started again",
        "intake ended with status -9; again in 0.2 s",
        "PostgreSQL ended; it is started again",
        "gateway-1 ended with status -9; again in 0.2 s",
        "gateway-2 ended with status -9; again in 0.2 s",
        "custody ended with status -9; again in 0.2 s",
        "authority ended with status -9; again in 0.2 s",
    ]
    site.site.launcher.stop([f"gateway-{number + 1}" for number in range(4)])

    ledger.look(site).check()
    ledger.drain(site, tmp_path)
    found = ledger.look(site)
    found.check()
    assert found.settled()
    assert len(found.stored) > 200
    tended(site, lambda: found.data() <= read.names("opened", "vitals"))
    secrets = found.secrets()
    assert sum(map(len, secrets.values())) >= len(secrets) + 2, "one for each start"


def test_postgresql_comes_back_under_its_name() -> None:
    """Who has its address reaches it again, also where its own path is too long."""
    with TemporaryDirectory(prefix="sw-") as folder:
        state = Path(folder) / ("deep" * 20) / "postgres"
        for parent in state.parents[:2]:  # root's PostgreSQL is another user
            parent.mkdir(exist_ok=True)
            parent.chmod(0o711)
        server = Server.start(state)
        first = server.url("owner")
        try:
            os.kill(server.pid, signal.SIGKILL)
            until(lambda: not server.alive())
            server.stop()
            server = Server.start(state)
            assert server.url("owner") == first
            connect(first).close()
        finally:
            server.stop()
        assert not Path(str(conninfo_to_dict(first)["host"])).exists()
