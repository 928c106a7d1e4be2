"""Where PostgreSQL's socket lies if the state folder's path is too long for it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sealward.records import cluster
from sealward.records.binaries import Identity


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state folder with a long path."""
    made = tmp_path / ("long-" * 25)
    made.mkdir()
    return made


def test_a_long_path_leads_to_the_same_folder_again(state: Path) -> None:
    """Also once it has been removed: whoever has the address finds it there."""
    first, passing = cluster.socket_folder(state, Identity())
    try:
        assert passing
        assert (state / "run").readlink() == first
        assert first.stat().st_mode & 0o7777 == 0o700
        assert cluster.socket_folder(state, Identity()) == (first, True)
        first.rmdir()
        assert cluster.socket_folder(state, Identity()) == (first, True)
    finally:
        shutil.rmtree(first, ignore_errors=True)


def _open(folder: Path) -> None:
    folder.chmod(0o755)


def _fill(folder: Path) -> None:
    folder.rmdir()
    folder.write_bytes(b"")


def _link(folder: Path) -> None:
    elsewhere = folder.with_name(f"{folder.name}-elsewhere")
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)


@pytest.mark.parametrize("spoil", [_open, _fill, _link])
def test_what_may_be_somebody_elses_is_not_taken(
    state: Path, spoil: Callable[[Path], None]
) -> None:
    """Another may have made a folder of that name while it was gone."""
    first, _ = cluster.socket_folder(state, Identity())
    spoil(first)
    second, passing = cluster.socket_folder(state, Identity())
    for each in (first, first.with_name(f"{first.name}-elsewhere")):
        if each.is_dir() and not each.is_symlink():
            each.rmdir()
        else:
            each.unlink(missing_ok=True)
    second.rmdir()
    assert passing
    assert second != first
    assert (state / "run").readlink() == second


def test_a_short_path_needs_no_link(tmp_path: Path) -> None:
    """And one of a time when it was longer is removed."""
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    assert cluster.socket_folder(tmp_path, Identity()) == (
        tmp_path / "run",
        False,
    )
    assert not (tmp_path / "run").is_symlink()
