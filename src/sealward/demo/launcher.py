"""Start a site's processes, restart what dies, say so, and stop them all.

Each child is a process group of its own, so that Ctrl-C reaches this launcher alone
and it can stop them in their order.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sealward.errors import ConfigError

log = logging.getLogger(__name__)
GRACE = 15.0  # seconds from SIGTERM to SIGKILL
CALM = 10.0  # seconds of life after which a death is no longer one of a row
WAITS = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds before the first, second, ... restart

Line = Mapping[str, object]


@dataclass(slots=True)
class Child:
    """One process: how it is started, and what has become of it."""

    name: str
    arguments: Sequence[str]
    heard: Callable[[Line], None] | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    due: float = 0.0
    ended: bool = False  # it is not to be started again
    reader: threading.Thread | None = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        """The process's id, None while there is none."""
        return self.process.pid if self.process else None


class Launcher:
    """The children of one site, by name."""

    def __init__(
        self,
        config: Path,
        logs: Path,
        say: Callable[[str], None] = log.warning,
        born: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Run children by *config*; their own words go into *logs*, a file each.

        *born* hears the process id of each that is started.
        """
        self._config = config
        self._logs = logs
        self._say = say
        self._born = born
        self._children: dict[str, Child] = {}
        self._lock = threading.Lock()
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)

    def start(
        self,
        name: str,
        *arguments: str,
        heard: Callable[[Line], None] | None = None,
    ) -> Child:
        """Start ``sealward`` with *arguments* under *name*.

        With *heard*, the child prints a JSON object a line and *heard* gets each.
        """
        child = Child(name, arguments, heard)
        self._children[name] = child
        self._spawn(child)
        return child

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [
            *(sys.executable, "-m", "sealward", arguments[0]),
            *("--config", str(self._config), *arguments[1:]),
        ]

    def run_once(self, *arguments: str) -> None:
        """Run ``sealward`` with *arguments* to its end, which must be a good one.

        Raises:
            ConfigError: it was not; the message is its own.
        """
        done = subprocess.run(  # noqa: S603 - our own command line
            self._command(arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ConfigError(done.stderr.strip() or f"{arguments[0]} failed")

    def _spawn(self, child: Child) -> None:
        command = self._command(child.arguments)
        with (self._logs / f"{child.name}.log").open("ab") as errors:
            child.process = subprocess.Popen(  # noqa: S603 - our own command line
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if child.heard else errors,
                stderr=errors,
                start_new_session=True,
            )
        self._born(child.process.pid)
        child.started = time.monotonic()
        if child.heard:
            child.reader = threading.Thread(
                target=self._listen, args=(child, child.process), daemon=True
            )
            child.reader.start()

    @staticmethod
    def _listen(child: Child, process: subprocess.Popen[bytes]) -> None:
        """Hand on each line that the child prints, until it prints no more."""
        if process.stdout is None or child.heard is None:
            return
        with process.stdout as said:
            for line in said:
                if line.endswith(b"\n"):  # a killed child's last line may be half
                    child.heard(json.loads(line))

    def restart(self, name: str) -> None:
        """End the child called *name*, if it runs, and start it again."""
        self.stop([name])
        with self._lock:
            child = self._children[name]
            child.ended, child.due = False, 0.0
            self._spawn(child)

    def child(self, name: str) -> Child:
        """Return the child called *name*."""
        return self._children[name]

    def pids(self) -> dict[str, int]:
        """Return the process ids of the children that run, by name."""
        return {
            name: child.process.pid
            for name, child in self._children.items()
            if child.process and child.process.poll() is None
        }

    def tend(self) -> None:
        """Restart what has died by itself; say so. Call it some times a second."""
        with self._lock:
            for child in self._children.values():
                self._tend(child, time.monotonic())

    def _tend(self, child: Child, now: float) -> None:
        if child.ended or child.process is None:
            return
        status = child.process.poll()
        if status is None:
            return
        if not child.due:
            if now - child.started > CALM:
                child.deaths = 0
            wait = WAITS[min(child.deaths, len(WAITS) - 1)]
            child.deaths += 1
            child.due = now + wait
            self._say(f"{child.name} ended with status {status}; again in {wait:g} s")
        elif now >= child.due:
            child.due = 0.0
            self._spawn(child)

    def stop(self, names: Sequence[str] | None = None, grace: float = GRACE) -> None:
        """Stop the children called *names* (all, the last started first)."""
        with self._lock:
            chosen = [
                child
                for name, child in reversed(self._children.items())
                if names is None or name in names
            ]
            for child in chosen:
                child.ended = True
                if child.process and child.process.poll() is None:
                    child.process.send_signal(signal.SIGTERM)
            until = time.monotonic() + grace
            for child in chosen:
                self._end(child, until)

    def _end(self, child: Child, until: float) -> None:
        """Wait for *child* to end, and end it by force if it does not."""
        if child.process is None:
            return
        try:
            child.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._say(f"{child.name} did not stop; it is ended by force")
            os.kill(child.process.pid, signal.SIGKILL)
            child.process.wait()
        if child.reader:
            child.reader.join(2.0)
