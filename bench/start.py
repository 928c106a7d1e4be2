"""How soon the command line is there."""

import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator

from bench.clocks import quotient, turns
from bench.table import Row


def _start(*arguments: str) -> None:
    """Run Python with *arguments*, to its end."""
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def _children() -> float:
    """Return the CPU seconds of the processes that this one has run to their ends."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rows() -> Iterator[Row]:
    """Compare the command line with an interpreter that does nothing."""
    acts = {
        "ours": lambda: _start("-m", "sealward", "--version"),
        "bare": lambda: _start("-c", "pass"),
    }
    taken = turns(acts, 11, _children)
    yield Row(
        what="sealward --version / a bare interpreter",
        value=quotient(taken["ours"], taken["bare"]),
        unit="x",
        most=6,
        room=0.05,
        also={"ms": statistics.median(taken["ours"]) * 1e3},
    )
