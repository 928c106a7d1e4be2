"""End what a site has started, should whoever started it be killed.

The launcher names its processes to the guard, a process of its own, down a pipe. The
pipe ends when the launcher does, whatever ended it, and then the guard ends all that
still runs. It needs pidfd_open(2), by which an id names one process for good; without
it (Linux before 5.3, other systems) nothing is ended.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

GRACE = 5.0  # seconds to end in good order; spools and database bear what follows


class Guard:
    """The launcher's end of the pipe."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the guard, in a session of its own, which Ctrl-C does not reach."""
        if sys.platform == "linux":
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def child(self, pid: int) -> None:
        """Have the child *pid* ended by SIGTERM."""
        self._tell("child", pid)

    def server(self, pid_file: Path, folder: Path, number: signal.Signals) -> None:
        """Have the process that *pid_file* names then ended by *number*.

        It must work in *folder*; one that merely bears the same id is left alone.
        """
        self._tell("server", str(pid_file), str(folder), int(number))

    def folder(self, path: Path) -> None:
        """Have *path* removed when all has ended."""
        self._tell("folder", str(path))

    def stop(self) -> None:
        """Let the guard see what is left to do, and end; again is harmless."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()

    def _tell(self, *words: str | int) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):  # the guard was ended; we go on without
                self._process.stdin.write(json.dumps(words).encode() + b"\n")
                self._process.stdin.flush()


@dataclass(slots=True)
class Watched:
    """What the guard was told: descriptors of processes, and where to find others."""

    children: list[int] = field(default_factory=list)
    servers: list[tuple[Path, Path, int]] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def hear(self, line: str) -> None:
        """Take one *line* of the launcher's."""
        match json.loads(line):
            case ["child", int(pid)]:
                self.children = [each for each in self.children if not ended(each)]
                self.children += opened(pid)
            case ["server", str(pid_file), str(folder), int(number)]:
                self.servers.append((Path(pid_file), Path(folder), number))
            case ["folder", str(path)]:
                self.folders.append(Path(path))
            case _:
                raise ValueError("no word of the launcher's")

    def end(self) -> None:
        """End all that still runs, by force after ``GRACE``, and tidy up."""
        running = [(each, int(signal.SIGTERM)) for each in self.children]
        for pid_file, folder, number in self.servers:
            running += [(each, number) for each in working(pid_file, folder)]
        for each, number in running:
            send(each, number)
        until = time.monotonic() + GRACE
        for each, _ in running:
            if not ended(each, max(0.0, until - time.monotonic())):
                send(each, signal.SIGKILL)
                ended(each, GRACE)
        for path in self.folders:
            shutil.rmtree(path, ignore_errors=True)


def opened(pid: int) -> list[int]:
    """Return a descriptor of the process *pid*, or nothing if there is none."""
    with suppress(OSError):
        return [os.pidfd_open(pid)]
    return []


def ended(process: int, seconds: float = 0.0) -> bool:
    """Say whether *process*, a descriptor, has ended or does within *seconds*."""
    readable, _, _ = select.select([process], [], [], seconds)
    return bool(readable)


def send(process: int, number: int) -> None:
    """Send the signal *number* to *process*, if it is still there."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)


def working(pid_file: Path, folder: Path) -> list[int]:
    """Return a descriptor of whom *pid_file* names, if he works in *folder*."""
    try:
        pid = int(pid_file.read_text(encoding="ascii").split("\n", 1)[0])
        found = opened(pid)
        if Path(f"/proc/{pid}/cwd").readlink() == folder:
            return found
    except (OSError, ValueError):
        pass  # it was never started, or has ended
    return []


def main(lines: Iterable[str]) -> None:
    """Watch over what *lines* name until they end, then end it."""
    watched = Watched()
    for line in lines:
        if line.endswith("\n"):  # a killed launcher's last line may be half
            watched.hear(line)
    watched.end()


if __name__ == "__main__":
    main(sys.stdin)
