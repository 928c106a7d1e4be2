"""PostgreSQL starts from nothing, after a crash and beside a closed home."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from sealward.errors import ConfigError, UnavailableError
from sealward.records import binaries as programs
from sealward.records import database, migration
from sealward.records.postgres import Binaries, Server, external, protected

if TYPE_CHECKING:
    from tests.live.records.conftest import Ward

ROOT = os.geteuid() == 0
SOURCE = str(Path(__file__).parents[3] / "src")


def modes(folder: Path) -> list[tuple[int, int, int]]:
    """Return mode and owner of every folder above *folder*."""
    found = [parent.stat() for parent in folder.parents]
    return [(status.st_mode, status.st_uid, status.st_gid) for status in found]


def gone(pid: int) -> bool:
    """Wait a little for a process that nobody may have reaped; say if it ended."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except FileNotFoundError:
            return True
        if state.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.01)
    return False


def test_it_starts_from_nothing_with_every_parent_as_before(
    folder: Path, binaries: Binaries
) -> None:
    """The schema is there, the state folder is closed, and nothing else changed."""
    state = folder / "a folder" / "state"
    state.parent.mkdir()
    before = modes(state)
    with Server.start(state, binaries=binaries) as server:
        assert migration.migrate(server.url("owner"))
        with database.connect(server.url("research")) as research:
            migration.check(research)
            assert research.execute("show listen_addresses").fetchone() == ("",)
            assert server.pid in server.pids()
            assert len(server.pids()) > 3
        assert modes(state) == before
        assert state.stat().st_mode & 0o7777 == (0o710 if ROOT else 0o700)
        for name in ("data", "run"):
            assert (state / name).stat().st_mode & 0o7777 == 0o700
        assert (state / "data").stat().st_uid != 0
    assert not server.alive()


def test_a_long_path_gets_its_socket_elsewhere(folder: Path) -> None:
    """A Unix socket's path has 107 bytes at most; the folder goes with the server."""
    state = folder / ("x" * 120)
    with Server.start(state) as server:
        with closing(database.connect(server.url("owner"))) as owner:
            place = Path(owner.info.host)
        assert place.parent != state
        assert place.stat().st_mode & 0o7777 == 0o700
    assert not place.exists()


def test_a_second_launcher_is_refused(made: Path) -> None:
    """One state folder has one server; the first goes on."""
    with Server.start(made) as server:
        with pytest.raises(ConfigError, match="another process"):
            Server.start(made)
        assert server.alive()
    Server.start(made).stop()


def test_it_stops_at_once_though_clients_stay(made: Path) -> None:
    """A fast shutdown ends idle transactions too."""
    server = Server.start(made)
    client = database.connect(server.url("owner"))
    client.execute("begin")
    begun = time.monotonic()
    server.stop()
    server.stop()
    assert time.monotonic() - begun < 5
    with pytest.raises(UnavailableError):
        database.execute(client, "select 1")
    client.close()


def test_it_recovers_when_its_launcher_was_killed(made: Path) -> None:
    """The orphan is found by what it wrote in its own folder, stopped and replaced."""
    script = (
        "import os, pathlib, sys\n"
        "from sealward.records.postgres import Server\n"
        "server = Server.start(pathlib.Path(sys.argv[1]))\n"
        "print(server.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, str(made)],
        env={"PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    orphan = int(told.stdout)
    with Server.start(made) as server:
        assert server.pid != orphan
        assert gone(orphan)


def test_it_recovers_from_a_killed_postmaster(made: Path) -> None:
    """Children of the dead may live a moment longer; the start waits for them."""
    server = Server.start(made)
    client = database.connect(server.url("owner"))
    os.kill(server.pid, signal.SIGKILL)
    assert gone(server.pid)
    assert not server.alive()
    server.stop()
    with Server.start(made) as again:
        database.connect(again.url("owner")).close()
    client.close()


def test_data_of_another_version_is_left_alone(
    folder: Path, binaries: Binaries
) -> None:
    """The refusal says how to move it over."""
    state = folder / "pg"
    (state / "data").mkdir(parents=True)
    (state / "data/PG_VERSION").write_text("14\n")
    with pytest.raises(ConfigError, match="pg_dumpall"):
        Server.start(state, binaries=binaries)
    with pytest.raises(ConfigError, match="PostgreSQL 14"):
        Server.start(state)


def test_a_folder_with_other_things_is_left_alone(folder: Path) -> None:
    """A mistaken setting must not close a home to its owner."""
    (folder / "letter.txt").write_text("dear")
    before = folder.stat().st_mode
    with pytest.raises(ConfigError, match="of its own"):
        Server.start(folder)
    assert folder.stat().st_mode == before
    with pytest.raises(ConfigError, match="not a folder"):
        Server.start(folder / "letter.txt")


@pytest.mark.skipif(not ROOT, reason="only root starts PostgreSQL as another user")
def test_a_closed_parent_is_named_and_stays_closed(folder: Path) -> None:
    """Opening somebody's home to the world is not ours to do."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match=f"{home}.*--state"):
        Server.start(home / "state")
    assert home.stat().st_mode & 0o7777 == 0o700


def test_a_closed_environment_is_copied_and_stays_closed(folder: Path) -> None:
    """Programs below a closed home run from the state folder, hash by hash."""
    closed = folder / "home"
    closed.mkdir(mode=0o000)
    wheel = Binaries(folder=closed, major=18, origin="wheel")
    with Server.start(folder / "pg", binaries=wheel) as server:
        running = Path(f"/proc/{server.pid}/exe").readlink()
        assert running.is_relative_to(folder / "pg")
    assert closed.stat().st_mode & 0o7777 == 0
    system = Binaries(folder=closed, major=18, origin="system")
    with pytest.raises(ConfigError, match="cannot run"):
        programs.reach(system, programs.Identity(), folder / "pg")


@pytest.mark.skipif(not ROOT, reason="the other tests show it, being no root's")
def test_a_user_who_is_not_root_starts_it_as_themselves(folder: Path) -> None:
    """The usual case on a laptop: one user owns state, server and roles."""
    nobody = pwd.getpwnam("nobody")
    state = folder / "state"
    state.mkdir(mode=0o700)
    os.chown(state, nobody.pw_uid, nobody.pw_gid)
    script = (
        "import os, pathlib, sys\n"
        "from sealward.records import database, migration\n"
        "from sealward.records.postgres import Server\n"
        "state = pathlib.Path(sys.argv[1])\n"
        "with Server.start(state) as server:\n"
        "    migration.migrate(server.url('owner'))\n"
        "    with database.connect(server.url('ward')) as ward:\n"
        "        migration.check(ward)\n"
        "    print((state / 'data').stat().st_uid == os.getuid())\n"
    )
    python = f"/usr/bin/python3.{sys.version_info.minor}"  # ours may be in a home
    packages = str(Path(psycopg.__file__).parents[1])
    if not Path(python).exists():
        pytest.skip(f"this machine has no {python} for all users")
    told = subprocess.run(
        [python, "-c", script, str(state)],
        env={"PYTHONPATH": f"{SOURCE}:{packages}"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        cwd="/",
    )
    assert told.stdout == "True\n"
    assert state.stat().st_mode & 0o7777 == 0o700


def test_only_our_own_user_and_roles_come_in(made: Path) -> None:
    """There is no other way in: no trust, no password, no superuser by default."""
    with Server.start(made) as server:
        for user in ("postgres", "root", "sealward"):
            with pytest.raises(UnavailableError):
                database.connect(make_conninfo(server.url("owner"), user=user))
        with pytest.raises(ValueError, match="no role"):
            server.url("postgres")


def test_no_log_repeats_what_was_said(made: Path) -> None:
    """Statements, parameters and rows of failed statements stay out of the log."""
    with Server.start(made) as server:
        owner = database.connect(server.url("owner"))
        owner.execute("create temp table t (a text unique check (a <> 'secret2'))")
        owner.execute("insert into t values ('secret1')")
        for value in ("secret1", "secret2"):
            with pytest.raises(psycopg.IntegrityError):
                owner.execute("insert into t values (%s)", (value,))
        with pytest.raises(psycopg.ProgrammingError):
            owner.execute("selec 'secret3'")
        with (
            pytest.raises(psycopg.DataError),
            owner.cursor().copy("copy t (a) from stdin") as copy,
        ):
            copy.write(b"secret4\tsecret4\n")
        owner.close()
    log = (made / "postgres.log").read_text(encoding="utf-8")
    assert "duplicate key" in log
    assert "secret" not in log


def test_an_operator_s_own_server_is_checked(ward: Ward) -> None:
    """A socket passes once the schema is there; before, advisory locks are open."""
    external(ward.server.url("owner"))
    with pytest.raises(ConfigError, match="advisory"):
        external(make_conninfo(ward.server.url("owner"), dbname="postgres"))


@pytest.mark.parametrize(
    "url",
    [
        "host=db.example user=sealward_intake",
        "postgresql://db.example/sealward?sslmode=require",
        "hostaddr=192.0.2.1 host=/run/postgresql",
        "no connection string",
    ],
)
def test_an_unprotected_server_is_refused_before_it_is_asked(url: str) -> None:
    """Without a socket or a verified name, whoever answers could be anybody."""
    for check in (external, protected):
        with pytest.raises(ConfigError, match="DATABASE_URL"):
            check(url)
