"""Resolve pyproject.toml into hashed locks: run, files, dev and oracle, all platforms.

The locks name packages and digests, and no address, so that a mirror serves as
well as the public index. run.lock holds the base and the server extra;
files.lock adds the readers of other people's files and dev.lock the tools, with
the same versions. oracle.lock stands alone, since it needs older ones.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
COMPILE = (
    *(str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet"),
    *("--universal", "--python-version", "3.11", "--generate-hashes", "--no-header"),
)


def resolve(name: str, *options: str) -> None:
    """Write the lock *name*, and refuse one that names an address."""
    lock = HERE / name
    command = (*COMPILE, *options, "--output-file", str(lock))
    subprocess.run(command, check=True, cwd=HERE.parent)  # noqa: S603 - ours
    if "://" in lock.read_text():
        sys.exit(f"{name} names an address; a lock should not")


if __name__ == "__main__":
    upgrade = sys.argv[1:]  # for example: --upgrade-package cryptography
    product = ("pyproject.toml", "--extra", "server")
    resolve("run.lock", *product, *upgrade)
    whole = (*product, "--extra", "files", "--constraint", "requirements/run.lock")
    resolve("files.lock", *whole, *upgrade)
    resolve("dev.lock", *whole, "--group", "dev", *upgrade)
    resolve("oracle.lock", "--group", "oracle", *upgrade)
