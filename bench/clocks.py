"""Count CPU time, ours and other processes', and let rivals take turns.

Seconds of a shared machine mean little: whoever is compared runs in one process or
under one server, a chunk each in turn, and the median forgets the worst neighbour.
"""

import statistics
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_SCHEDULED = 2  # <linux/posix-timers.h>: a process's clock, all threads, in ns
_TICKS = 100  # a second in /proc (USER_HZ, of the kernel's interface and so fixed)


def cpu(act: Callable[[], object]) -> float:
    """Return the CPU seconds that this process takes for *act*."""
    begin = time.process_time()
    act()
    return time.process_time() - begin


def spent(pids: Iterable[int]) -> float:
    """Return the CPU seconds that the processes *pids* have taken since they began.

    The kernel's clock of a process counts nanoseconds, where /proc counts hundredths.
    One that has ended counts nothing.
    """
    total = 0
    for pid in pids:
        with suppress(OSError):
            total += time.clock_gettime_ns(~pid << 3 | _SCHEDULED)
    return total / 1e9


def family(parent: int, pids: Collection[int]) -> float:
    """Return the CPU seconds of *pids*, and of *parent*'s children that have ended."""
    fields = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()
    return spent(pids) + (int(fields[13]) + int(fields[14])) / _TICKS


def turns(
    acts: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Return what each of *acts* takes by *clock* in each of *rounds*, in turns."""
    taken: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(rounds):
        for name, act in acts.items():
            begin = clock()
            act()
            taken[name].append(clock() - begin)
    return taken


def often(act: Callable[[], object], times: int) -> Callable[[], None]:
    """Return *times* runs of *act* as one."""

    def run() -> None:
        for _ in range(times):
            act()

    return run


def quotient(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the rounds' quotients."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
