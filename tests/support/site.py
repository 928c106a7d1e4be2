"""A whole site for tests: real broker, real database, real keys, on loopback."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sealward.demo.site import Patient, Site, make_root
from sealward.records import database

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds for what must happen soon


def until(what: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait until *what* is true; fail if it is not within *seconds*."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


@dataclass
class Heard:
    """What a process printed, line by line."""

    lines: list[Mapping[str, object]] = field(default_factory=list)

    def __call__(self, line: Mapping[str, object]) -> None:
        """Take one *line*."""
        self.lines.append(line)

    def names(self, event: str, *kinds: str) -> set[tuple[object, object, object]]:
        """Return (alias, epoch, seq) of the lines of *event*, of *kinds* if given."""
        return {
            (line["alias"], line["epoch"], line["seq"])
            for line in list(self.lines)
            if line["event"] == event and (not kinds or line["kind"] in kinds)
        }


class Ward:
    """A site with people and gateways, started and stopped by the test."""

    def __init__(self, site: Site, said: list[str]) -> None:
        self.site = site
        self.said = said  # what the launcher has said
        self.sealed: dict[str, Heard] = {}
        self.read: dict[str, Heard] = {}

    def enrol(self, count: int = 1) -> list[Patient]:
        """Enrol *count* patients, each at a gateway of his own."""
        return asyncio.run(self.site.enrol(count))

    def reader(self, name: str, *attributes: str) -> Path:
        """Enrol the reader *name* with *attributes*."""
        return asyncio.run(self.site.enrol_reader(name, *attributes))

    def gateway(self, name: str, folder: Path, *arguments: str) -> Heard:
        """Start the gateway in *folder*, simulated unless *arguments* say else."""
        heard = self.sealed[name] = Heard()
        command = ("bedside", "--json", "--folder", str(folder), *arguments)
        self.site.launcher.start(name, *command, heard=heard)
        return heard

    def watch(self, name: str, folder: Path, *arguments: str) -> Heard:
        """Start the reader in *folder*."""
        heard = self.read[name] = Heard()
        command = ("watch", "--json", "--reader", str(folder), *arguments)
        self.site.launcher.start(name, *command, heard=heard)
        return heard

    def rows(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        """Return the rows of *query*, asked as the database's owner."""
        with database.connect(self.site.url) as connection:
            cursor = connection.execute(query.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def counted(self, folder: str, name: str) -> int:
        """Return what the process of *folder* has counted as *name*."""
        path = self.site.root / folder / "metrics.prom"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return sum(
            int(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith(f"sealward_{name}")
        )

    def sealward(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line on this site, to its end."""
        command, *rest = arguments
        return subprocess.run(
            [
                *(sys.executable, "-m", "sealward", command),
                *("--config", str(self.site.config), *rest),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@contextmanager
def ward(pack_seconds: int = 1) -> Iterator[Ward]:
    """Start a site whose packs take *pack_seconds*; stop it and forget it."""
    with tempfile.TemporaryDirectory(prefix="sw-") as folder:
        said: list[str] = []
        site = Site(make_root(Path(folder)), pack_seconds, said.append)
        try:
            site.start()
            yield Ward(site, said)
        finally:
            site.stop()


def lines(text: str) -> list[Mapping[str, object]]:
    """Return the JSON objects in *text*, one a line."""
    return [json.loads(line) for line in text.splitlines()]
