"""The folder of one PostgreSQL: whose it is, who may come in, and where its socket is.

Nothing above or beside that folder is changed, neither mode nor owner.
"""

import fcntl
import logging
import os
import pwd
import re
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sealward.errors import ConfigError
from sealward.records.binaries import Binaries, Identity, run

_SOCKET = ".s.PGSQL.5432"
_LONGEST = 107  # bytes of a Unix socket's path (unix(7): sun_path, less its end)
_UNPRIVILEGED = ("postgres", "sealward", "nobody")  # whom root becomes, in this order
_OURS = re.compile(
    r"data|data\.new|run|lock|pg_(hba|ident)\.conf|postgres\.log(\.1)?|postgresql-.*"
)
_POLL = 0.01  # seconds
_STOPPING = 10.0  # seconds before the next, harder signal

_log = logging.getLogger(__name__)


def unprivileged() -> Identity:
    """Return whom PostgreSQL is to run as: ourselves, unless we are root.

    initdb wants a user with an entry in the passwd file, and refuses root.
    """
    if os.geteuid() != 0:
        return {}
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if name == "nobody":
            _log.warning("postgresql runs as nobody, a user that others may share")
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise ConfigError(f"root cannot run PostgreSQL: add a user {_UNPRIVILEGED[1]}")


def prepare(state: Path, identity: Identity) -> None:
    """Make *state* a folder that *identity* can reach and nobody else can enter.

    Root keeps it and lets *identity* pass through by group (0710), so that root
    never writes where another user could have prepared a link; else it is 0700.

    Raises:
        ConfigError: it holds other things, is not ours, or a parent is closed.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        strangers = [p for p in state.iterdir() if not _OURS.fullmatch(p.name)]
        if strangers or state.is_symlink():
            raise ConfigError(
                f"{state} holds other things: give PostgreSQL a folder of its own"
            )
        if identity:
            os.chown(state, os.geteuid(), identity["group"])
        state.chmod(0o710 if identity else 0o700)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise ConfigError(f"{state} is not a folder of ours") from error
    for folder in (*reversed(state.parents), state) if identity else ():
        if run(["/bin/sh", "-c", 'test -x "$1"', "sh", folder], identity).returncode:
            raise ConfigError(
                f"the user that runs PostgreSQL cannot pass through {folder}:"
                " put the state folder elsewhere (--state)"
            )


def lock(state: Path) -> int:
    """Return the descriptor whose lock keeps other launchers off *state*."""
    lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ConfigError(f"another process runs PostgreSQL on {state}") from error
    return lock


def stop_orphan(data: Path) -> None:
    """Stop a PostgreSQL whose launcher was killed.

    It is known by the process id that it wrote into its own folder and by working
    in that folder; a process that merely bears the name is left alone.
    """
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    for harder in (signal.SIGINT, signal.SIGQUIT):
        deadline = time.monotonic() + _STOPPING
        if _works_in(pid, data):
            _log.warning("postgresql has no launcher signal=%s", harder.name)
            with suppress(ProcessLookupError):
                os.kill(pid, harder)
        while _works_in(pid, data) and time.monotonic() < deadline:
            time.sleep(_POLL)


def _works_in(pid: int, folder: Path) -> bool:
    """Say whether a process of that id has *folder* for its working folder."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder.resolve()
    except OSError:  # there is none, it has ended unreaped, or it is not ours
        return False


def version(data: Path) -> int | None:
    """Return the major version that made *data*, or None if there is none yet."""
    version = data / "PG_VERSION"
    return int(version.read_text()) if version.exists() else None


def check_version(data: Path, binaries: Binaries) -> None:
    """Refuse to start *binaries* on a folder that another major version made.

    Raises:
        ConfigError: so it is; the message says how to move to the new version.
    """
    made_by = version(data)
    if made_by not in (None, binaries.major):
        raise ConfigError(
            f"{data} was made by PostgreSQL {made_by} and cannot be used by"
            f" {binaries.major}: start {made_by} on it, save it with pg_dumpall, move"
            f" the folder away, start {binaries.major} and restore with psql"
        )


def initialise(state: Path, binaries: Binaries, identity: Identity) -> None:
    """Make the folder ``data``; whole or not at all, whenever we are killed."""
    fresh = state / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    _give(fresh, identity)
    said = run(
        [
            binaries.folder / "initdb",
            *("--pgdata", fresh, "--username", "sealward_owner"),
            *("--encoding", "UTF8", "--locale", "C", "--data-checksums"),
            *("--auth-local", "peer", "--auth-host", "scram-sha-256"),
        ],
        identity,
    )
    if said.returncode:
        lines = said.stderr.splitlines() or ["no reason given"]
        faults = [line for line in lines if "FATAL" in line or "error:" in line]
        reason = (faults or lines[-1:])[0]  # what follows tells of its tidying up
        raise ConfigError(f"initdb could not make {state / 'data'}: {reason}")
    fresh.rename(state / "data")


def _give(folder: Path, identity: Identity) -> None:
    """Make *folder*, for *identity* alone."""
    folder.mkdir(mode=0o700)
    if identity:
        os.chown(folder, identity["user"], identity["group"])


def write_access(state: Path, identity: Identity, roles: Iterable[str]) -> None:
    """Say who may connect: our own user as each of *roles*, by the kernel's word.

    One line a role, since a pattern would need PostgreSQL 16.
    """
    me = pwd.getpwuid(os.geteuid()).pw_name
    files = {
        "pg_hba.conf": "local all all peer map=sealward\n",
        "pg_ident.conf": "".join(f'sealward "{me}" sealward_{r}\n' for r in roles),
    }
    for name, text in files.items():
        path = state / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o640 if identity else 0o600)
        if identity:
            os.chown(path, os.geteuid(), identity["group"])


def socket_folder(state: Path, identity: Identity) -> tuple[Path, bool]:
    """Return the folder of the socket, and whether it is to be removed at the end.

    Where *state*'s path is too long for a socket's, it is another folder, and ``run``
    a link to it: whoever holds the address finds it there again after a crash.
    """
    run = state / "run"
    if len(os.fsencode(run / _SOCKET)) <= _LONGEST:
        if run.is_symlink():
            run.unlink()
        if not run.exists():
            _give(run, identity)
        return run, False
    if run.is_symlink() and _taken(run.readlink(), identity):
        return run.readlink(), True
    runtime = Path(f"/run/user/{os.geteuid()}")
    place = runtime if runtime.is_dir() and not identity else None
    folder = Path(tempfile.mkdtemp(prefix="sealward-", dir=place))
    if identity:
        os.chown(folder, identity["user"], identity["group"])
    if run.is_symlink():
        run.unlink()
    elif run.exists():
        shutil.rmtree(run)  # of a time when the path was shorter
    run.symlink_to(folder)
    return folder, True


def _taken(folder: Path, identity: Identity) -> bool:
    """Make *folder* again, or say whether what is there is still ours alone."""
    try:
        _give(folder, identity)
    except FileExistsError:
        found = folder.lstat()
        owner = identity["user"] if identity else os.geteuid()
        private = stat.S_IFDIR | 0o700
        return (found.st_uid, found.st_mode) == (owner, private)
    except OSError:
        return False
    return True
