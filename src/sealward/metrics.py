"""Count what happens, by name, for an operator's collector to read.

A counter's name says what is counted and its labels say which; a refusal's label
is its ``reason``. No label may carry an alias, a UID or a reading. The text is
Prometheus' own (text exposition format 0.0.4), written to a file as a textfile
collector wants it, so that a process needs no port for it.
"""

from collections import Counter
from pathlib import Path


class Metrics:
    """One process's counters."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()

    def add(self, name: str, by: int = 1, **labels: str) -> None:
        """Raise the counter *name* with *labels* by *by*, a whole number >= 0."""
        self._counts[name, tuple(sorted(labels.items()))] += by

    def set(self, name: str, value: int, **labels: str) -> None:
        """Make the gauge *name* with *labels* show *value*."""
        self._counts[name, tuple(sorted(labels.items()))] = value

    def get(self, name: str, **labels: str) -> int:
        """Return what *name* with *labels* has come to, 0 if it was never counted."""
        return self._counts[name, tuple(sorted(labels.items()))]

    def by(self, name: str, label: str) -> dict[str, int]:
        """Return the counts of *name*, one for each value of *label*."""
        return {
            dict(labels)[label]: count
            for (counted, labels), count in self._counts.items()
            if counted == name and label in dict(labels)
        }

    def text(self) -> str:
        """Return every counter, a line each, in the text exposition format."""
        lines = []
        for (name, labels), count in sorted(self._counts.items()):
            shown = ",".join(f'{key}="{value}"' for key, value in labels)
            lines.append(
                f"sealward_{name}{{{shown}}} {count}"
                if shown
                else f"sealward_{name} {count}"
            )
        return "".join(f"{line}\n" for line in lines)

    def write(self, path: Path) -> None:
        """Replace the file *path* by the counters as they stand, in one step."""
        fresh = path.with_suffix(".new")
        fresh.write_text(self.text(), encoding="utf-8")
        fresh.replace(path)


def read(path: Path) -> dict[str, int]:
    """Return the counters in *path* by their full name, empty if there is no file."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: int(count) for name, _, count in (x.rpartition(" ") for x in lines)}
