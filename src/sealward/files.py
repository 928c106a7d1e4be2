"""Write the files that hold secrets: for their owner alone, and whole or not at all."""

import os
from pathlib import Path

SECRET = 0o600


def folder(path: Path) -> Path:
    """Return the folder *path*, made for its owner alone if it was not there."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def create(path: Path, data: bytes) -> None:
    """Write *data* to the new file *path*.

    Raises:
        FileExistsError: there is one; a secret is never written over.
    """
    fresh = path.with_suffix(".new")
    _write(fresh, data)
    try:
        os.link(fresh, path)
    finally:
        fresh.unlink()


def replace(path: Path, data: bytes) -> None:
    """Put *data* in the place of whatever *path* holds, in one step and on the disk."""
    fresh = path.with_suffix(".new")
    _write(fresh, data)
    fresh.replace(path)


def _write(path: Path, data: bytes) -> None:
    how = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_TRUNC
    handle = os.open(path, how, SECRET)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
