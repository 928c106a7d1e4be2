"""Start the broker as its own user, with its own files, and see it through to its end.

It is trusted with delivery alone: the spool and a receipt after COMMIT are durability.
"""

import fcntl
import logging
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

from sealward.errors import ConfigError
from sealward.wire import brokerconfig
from sealward.wire.binary import Account, Binary, Program, checked, find
from sealward.wire.brokerconfig import Ports, Settings
from sealward.wire.brokerlog import Log
from sealward.wire.tls import Identity

__all__ = ["Binary", "Broker", "Ports"]

_LOG = logging.getLogger(__name__)
_CONFIG = "broker.conf"
_STARTING = 10  # seconds until it listens; 0.03 to 0.1 were seen
_STOPPING = 10  # seconds after SIGTERM
_TRIES = 3  # a free port may be taken between the look and the use


class Broker:
    """A running broker. Made by ``start``."""

    def __init__(
        self, process: subprocess.Popen[bytes], log: Log, ports: Ports, claim: int
    ) -> None:
        """Take over a *process* that listens on *ports*, and the lock *claim*."""
        self._process = process
        self._log = log
        self.ports = ports
        self._claim = claim

    @classmethod
    def start(  # noqa: PLR0913 - a broker needs them all, and by name
        cls,
        folder: Path,
        *,
        server: Identity,
        service_authority: Path,
        device_authority: Path,
        users: Mapping[str, str],
        issuer: str,
        ports: Ports | None = None,
        max_store_bytes: int = 1 << 30,
        host: str = "127.0.0.1",
        binary: Binary | None = None,
    ) -> Self:
        """Start a broker that keeps its stream in *folder*; return when it listens.

        *server* is the certificate of both listeners. *users* holds the public nkey
        of each of ``brokerconfig.SERVICES`` and *issuer* that of the account that
        signs admissions. *host* is where gateways connect; services always use
        loopback. After a crash, start again with the same *folder* and ``ports``.

        As root it runs as ``sealward``, else as ``nobody``, and what it must read is
        copied to where only that user can read it.

        Raises:
            ConfigError: it does not start, and the message says why; BinaryError and
                FloorError among them.
        """
        account = _account()
        home = _furnish(folder, account)
        settings = Settings(
            name="n1",
            ports=ports or Ports(),
            host=host,
            users=users,
            issuer=issuer,
            max_store_bytes=max_store_bytes,
        )
        files = (server.certificate, server.key, service_authority, device_authority)
        with ExitStack() as undo:
            claim = _claim(folder)
            undo.callback(os.close, claim)
            for name, source in zip(brokerconfig.FILES, files, strict=True):
                _place(home / name, source.read_bytes(), account)
            with checked(find(binary), home, account) as program:
                program.version()
                process, log, taken = _begin(program, folder, settings, account)
            undo.pop_all()
        return cls(process, log, taken, claim)

    @property
    def service_url(self) -> str:
        """Where services connect."""
        return f"tls://localhost:{self.ports.service}"

    @property
    def mqtt_port(self) -> int:
        """Where gateways connect."""
        return self.ports.mqtt

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def alive(self) -> bool:
        """Say whether it still runs."""
        return self._process.poll() is None

    def refusals(self) -> Counter[str]:
        """Return how often the broker itself refused since its start, by reason.

        The reasons: ``certificate`` ``tls`` ``trespass`` ``oversize`` ``qos``
        ``auth`` ``malformed``.
        """
        return self._log.refusals()

    def stop(self) -> None:
        """End it in good order, and by force after 10 s; twice is as good as once."""
        _end(self._process)
        self._log.end()
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOPPING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _account() -> Account | None:
    """Return whom the broker runs as; None is ourselves, unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("sealward", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if name == "nobody":
            _LOG.warning("broker user=nobody reason=no user sealward exists")
        return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    raise ConfigError("the broker does not run as root: create the user sealward")


def _furnish(folder: Path, account: Account | None) -> Path:
    """Make *folder*, which is ours, and in it the broker's own; return the latter."""
    home = folder / "home"
    for path in (folder, folder / "log", home):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    if account is not None:
        os.chown(home, account.uid, account.gid)
        _inherit(home / brokerconfig.STORE, account)
    return home


def _inherit(store: Path, account: Account) -> None:
    """Give a *store* that another user's broker left to *account*."""
    if store.is_dir() and store.lstat().st_uid != account.uid:
        for path in (store, *store.rglob("*")):
            shutil.chown(path, account.uid, account.gid)


def _place(path: Path, data: bytes, account: Account | None) -> None:
    """Put *data* at *path*, 0600, in one step and through no link of another's."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if account is not None:
            os.fchown(descriptor, account.uid, account.gid)
        file.write(data)
    fresh.replace(path)


def _free(host: str) -> int:
    """Return a port that is free now."""
    with socket.socket() as looking:
        looking.bind((host, 0))
        port: int = looking.getsockname()[1]
        return port


def _begin(
    program: Program, folder: Path, settings: Settings, account: Account | None
) -> tuple[subprocess.Popen[bytes], Log, Ports]:
    """Start the broker; with free ports, again if one is taken meanwhile."""
    last = ""
    for _ in range(_TRIES):
        ports = Ports(
            service=settings.ports.service or _free("127.0.0.1"),
            mqtt=settings.ports.mqtt or _free(settings.host),
        )
        text = brokerconfig.write(replace(settings, ports=ports))
        _place(folder / "home" / _CONFIG, text.encode(), account)
        process, log = _launch(program, folder)
        if log.listening:
            return process, log, ports
        _end(process)
        log.end()
        last = log.last
        if ports == settings.ports:
            break
    raise ConfigError(f"the broker did not start: {last}")


def _launch(program: Program, folder: Path) -> tuple[subprocess.Popen[bytes], Log]:
    """Check the configuration, then start the broker and wait until it listens.

    The broker inherits a lock on ``pid``, which ends with it, whatever became of us.
    """
    code, said = program.run("-t", "-c", _CONFIG)
    if code != 0:
        raise ConfigError(f"the broker refuses its configuration: {said}")
    lock = os.open(folder / "pid", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _lock(lock, folder)
        process = program.start(("-c", _CONFIG), keep=(lock,))
        os.pwrite(lock, b"%010d" % process.pid, 0)
    finally:
        os.close(lock)
    if process.stdout is None:
        raise AssertionError("the pipe was asked for")
    log = Log(process.stdout, folder / "log")
    log.ready.wait(_STARTING)
    return process, log


def _lock(lock: int, folder: Path) -> None:
    """Take the lock; whoever holds it is a broker that its launcher left behind.

    That launcher is dead, for we hold its lock: so its broker is ended.
    """
    until = time.monotonic() + _STOPPING
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise ConfigError(f"{folder}: another broker does not end") from None
        else:
            return
        left = int(os.pread(lock, 10, 0) or b"0")
        if left and Path(f"/proc/{left}/cwd").samefile(folder / "home"):
            os.kill(left, signal.SIGTERM)
        time.sleep(0.05)


def _claim(folder: Path) -> int:
    """Return the launcher's lock on *folder*, held for as long as it is open."""
    claim = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(claim)
        raise ConfigError(f"{folder}: a broker is already run from here") from None
    return claim
