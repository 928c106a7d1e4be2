"""Files that hold secrets: for their owner alone, whole or not at all."""

import stat
from pathlib import Path

import pytest

from sealward import files


def test_a_secret_is_never_written_over(tmp_path: Path) -> None:
    """The first stays, and nothing half lies beside it."""
    path = tmp_path / "reader.key"
    files.create(path, b"first")
    with pytest.raises(FileExistsError):
        files.create(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_half_is_in_nobodys_way(tmp_path: Path) -> None:
    """The next writer begins it anew."""
    (tmp_path / "slip.new").write_bytes(b"half of a longer one")
    files.create(tmp_path / "slip.cbor", b"whole")
    (tmp_path / "slip.new").write_bytes(b"half of a longer one")
    files.replace(tmp_path / "slip.cbor", b"next")
    assert (tmp_path / "slip.cbor").read_bytes() == b"next"


def test_a_secret_is_its_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask says."""
    made = files.folder(tmp_path / "keys")
    files.create(made / "a", b"1")
    files.replace(made / "b", b"2")
    modes = [
        stat.S_IMODE(path.stat().st_mode) for path in (made, made / "a", made / "b")
    ]
    assert modes == [0o700, 0o600, 0o600]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Who can place one where we write must not choose the file."""
    other = tmp_path / "other"
    other.write_bytes(b"another's")
    (tmp_path / "slip.new").symlink_to(other)
    for write in (files.create, files.replace):
        with pytest.raises(OSError, match="symbolic"):
            write(tmp_path / "slip.cbor", b"secret")
    assert other.read_bytes() == b"another's"
