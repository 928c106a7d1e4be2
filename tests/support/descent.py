"""Who descends from a process, and whether it has ended."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process, by its id and the moment of its birth: nobody else is both."""

    pid: int
    born: str  # clock ticks since the machine started
    command: str

    def alive(self) -> bool:
        """Return whether it still runs; one that nobody has reaped does not."""
        found = _read(self.pid)
        return found is not None and found[2] == self.born and found[0] != "Z"

    def kill(self) -> None:
        """End it by force, if it still runs."""
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)


def _read(pid: int) -> tuple[str, int, str] | None:
    """Return state, parent and birth of *pid*, None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[1]), fields[19]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def descendants(pid: int) -> list[Process]:
    """Return all that descend from *pid*, whoever they now run as."""
    children: dict[int, list[int]] = {}
    births: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        number = int(folder.name)
        if found := _read(number):
            children.setdefault(found[1], []).append(number)
            births[number] = found[2]
    result, left = [], [*children.get(pid, [])]
    while left:
        each = left.pop()
        result.append(Process(each, births[each], _command(each)))
        left += children.get(each, [])
    return result
