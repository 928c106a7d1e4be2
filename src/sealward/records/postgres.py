"""Start and stop a PostgreSQL of our own: one machine, one Unix socket, no password.

The design is records.md's: peer authentication by an explicit map, no TCP, nothing
of a statement in a log, and no folder but the state folder is ever touched.
"""

import logging
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import conninfo

from sealward.errors import ConfigError, UnavailableError
from sealward.records import cluster, database
from sealward.records.binaries import CLEAN, OLDEST, Binaries, Identity, find, reach

__all__ = ["Binaries", "Server", "external", "find"]

ROLES = (
    "owner",
    "intake",
    "custody",
    "ward",
    "authority",
    "analyst",
    "research",
    "keeper",
    "auditor",
)
DATABASE = "sealward"
_POLL = 0.01  # seconds between two tries to connect
_STARTING = 60.0  # seconds; a recovery after a crash is part of it
_STOPPING = 10.0  # seconds before the next, harder signal

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # our statements are short; compiling them costs more than it saves
    # No bytea, key or alias in a log: neither statements, nor parameters, nor the
    # DETAIL and CONTEXT lines that quote rows.
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "track_activity_query_size": "100",  # bytes, the least there is
}

_log = logging.getLogger(__name__)


class Server:
    """A running PostgreSQL and the lock on its state folder.

    Of the constructors only ``start`` is meant for others. A supervisor that finds
    ``alive`` false calls ``stop``, which lets go of the lock, and starts anew.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], folder: Path, lock: int, *, own: bool
    ) -> None:
        self._process = process
        self._folder = folder
        self._lock = lock
        self._own = own

    @classmethod
    def start(cls, state: Path, *, binaries: Binaries | None = None) -> Self:
        """Start PostgreSQL on *state*, made if it is not there, and wait for it.

        *state* is PostgreSQL's alone. Its mode becomes 0700; where root starts it,
        root keeps it, and the user that PostgreSQL runs as passes through by group
        (0710): so root never writes in a folder that another user could prepare.
        No other folder's mode is touched. After a crash the same call recovers.

        Raises:
            ConfigError: *state* is in use, of another version, not reachable or
                full of other things; or there are no *binaries*.
            UnavailableError: PostgreSQL did not answer within a minute.
        """
        state = state.absolute()
        identity = cluster.unprivileged()
        cluster.prepare(state, identity)
        lock = cluster.lock(state)
        try:
            cluster.stop_orphan(state / "data")
            chosen = binaries or find(major=cluster.version(state / "data"))
            cluster.check_version(state / "data", chosen)
            chosen = reach(chosen, identity, state)
            if not (state / "data").exists():
                cluster.initialise(state, chosen, identity)
            cluster.write_access(state, identity, ROLES)
            folder, own = cluster.socket_folder(state, identity)
            process = _launch(state, folder, chosen, identity)
        except BaseException:
            os.close(lock)
            raise
        return cls(process, folder, lock, own=own)

    @property
    def pid(self) -> int:
        """Return the process id of the postmaster."""
        return self._process.pid

    def pids(self) -> list[int]:
        """Return the process ids of the postmaster and of all its children."""
        children = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                after_name = stat.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            if int(after_name[1]) == self.pid:
                children.append(int(stat.parent.name))
        return [self.pid, *sorted(children)]

    def alive(self) -> bool:
        """Say whether the postmaster still runs."""
        return self._process.poll() is None

    def url(self, role: str) -> str:
        """Return the connection string of *role*, one of ``ROLES``.

        It holds no secret: who may use it is decided by the kernel's word on the
        caller's user.
        """
        if role not in ROLES:
            raise ValueError(f"there is no role {role}")
        return _url(self._folder, DATABASE, role)

    def stop(self) -> None:
        """Stop PostgreSQL and let go of the state folder; again is harmless.

        SIGINT is the fast shutdown. SIGTERM would wait for every client, for ever.
        """
        _end(self._process)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
            if self._own:
                shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def protected(url: str) -> bool:
    """Return whether *url* says sslmode=verify-full, where it is no Unix socket.

    Raises:
        ConfigError: anybody on the way could read along or answer in its place.
    """
    try:
        given = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise ConfigError("DATABASE_URL is no PostgreSQL connection string") from error
    verified = given.get("sslmode") == "verify-full"
    host = str(given.get("hostaddr") or given.get("host") or "/")
    _refuse_unprotected(host, verified=verified)
    return verified


def external(url: str) -> None:
    """Check that an operator's own PostgreSQL at *url* may be trusted with the record.

    Raises:
        ConfigError: it is reached without TLS or with an unverified server name,
            older than 15, or open to advisory locks; the message says what to do.
        UnavailableError: it does not answer.
    """
    verified = protected(url)
    with database.connect(url) as connection:
        # The environment may have named a host where the string named none.
        _refuse_unprotected(connection.info.host, verified=verified)
        if connection.info.server_version < OLDEST * 10_000:
            raise ConfigError(f"DATABASE_URL: PostgreSQL {OLDEST} or newer is needed")
        open_locks = database.execute(
            connection,
            "select count(*) from pg_catalog.pg_proc p"
            " where p.proname like %s and has_function_privilege("
            "'public', p.oid, 'execute')",
            (r"pg\_%advisory%",),
        ).fetchone()
    if open_locks != (0,):
        raise ConfigError(
            "DATABASE_URL: any role may take advisory locks there; as a superuser,"
            " revoke execute on every function pg_*advisory* from public"
        )


def _refuse_unprotected(host: str, *, verified: bool) -> None:
    if not (verified or host.startswith(("/", "@"))):
        raise ConfigError(
            "DATABASE_URL must name a Unix socket or say sslmode=verify-full"
        )


def _url(folder: Path, name: str, role: str) -> str:
    return conninfo.make_conninfo(
        host=str(folder), dbname=name, user=f"sealward_{role}"
    )


def _launch(
    state: Path, folder: Path, binaries: Binaries, identity: Identity
) -> subprocess.Popen[bytes]:
    """Start the postmaster and return it once our database answers."""
    settings = {
        **_SETTINGS,
        "unix_socket_directories": f'"{folder}"',
        "hba_file": str(state / "pg_hba.conf"),
        "ident_file": str(state / "pg_ident.conf"),
    }
    command: list[str | Path] = [binaries.folder / "postgres", "-D", state / "data"]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    log = state / "postgres.log"
    if log.exists():
        log.rename(state / "postgres.log.1")
    deadline = time.monotonic() + _STARTING
    while True:
        with log.open("ab") as file:
            log.chmod(0o600)
            process = subprocess.Popen(  # noqa: S603 - programs of find()
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                env=CLEAN,
                cwd="/",
                umask=0o077,
                start_new_session=True,  # Ctrl-C is ours to handle, in our order
                **identity,
            )
        try:
            if _is_ready(process, folder, deadline):
                return process
        except BaseException:
            _end(process)
            raise
        # Children of a killed postmaster may hold its memory for a moment more.
        if time.monotonic() > deadline - _STARTING + _STOPPING:
            raise ConfigError(f"PostgreSQL did not start: {log} says why")
        time.sleep(10 * _POLL)


def _is_ready(process: subprocess.Popen[bytes], folder: Path, deadline: float) -> bool:
    """Wait until *process* answers and has our database; False if it ended."""
    while process.poll() is None:
        try:
            with psycopg.connect(
                _url(folder, "postgres", "owner"), autocommit=True
            ) as connection:
                there = connection.execute(
                    "select from pg_database where datname = 'sealward'"
                ).fetchone()
                if there is None:
                    for name in (b"postgres", b"template1"):  # no role's business
                        connection.execute(
                            b"revoke all on database " + name + b" from public"
                        )
                    connection.execute("create database sealward")
                return True
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise UnavailableError("PostgreSQL does not become ready") from error
            time.sleep(_POLL)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End *process*, harder after each ten seconds."""
    for harder in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(harder)
        try:
            process.wait(_STOPPING)
        except subprocess.TimeoutExpired:
            _log.warning("postgresql did not stop signal=%s", harder.name)
