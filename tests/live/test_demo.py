"""The demo ends what it started, minds no other, and says what happens to it."""

import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from tests.support.descent import Process, descendants
from tests.support.site import ROOT, until

ENDED = 20.0  # seconds from Ctrl-C until nothing is left
KILLED = 15.0  # seconds from the demo's own violent death until nothing is left
SIZE = struct.pack("HHHH", 45, 160, 0, 0)  # lines, columns
_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]")


class Demo:
    """A demo, started as its user starts it, and what it has said so far."""

    def __init__(self, *arguments: str, terminal: bool = False) -> None:
        self.said = b""
        self._master = -1
        command = [sys.executable, "-m", "sealward", "demo", *arguments]
        if terminal:
            self._master, slave = pty.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, SIZE)
            self.process = subprocess.Popen(
                ["setsid", "-c", *command],  # noqa: S607 - so that Ctrl-C reaches it
                cwd=ROOT,
                env={"PATH": os.defpath, "TERM": "xterm"},
                stdin=slave,
                stdout=slave,
                stderr=slave,
            )
            os.close(slave)
            self._out = self._master
        else:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            assert self.process.stdout is not None
            self._out = self.process.stdout.fileno()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        self.started: list[Process] = []

    def _listen(self) -> None:
        with suppress(OSError):  # EIO: nobody has the terminal open any more
            while data := os.read(self._out, 1 << 16):
                self.said += data

    @property
    def text(self) -> str:
        """What it has said, without colours and the like."""
        return _ESCAPES.sub(b"", self.said).decode("utf-8", "replace")

    @property
    def opened(self) -> int:
        """How many packets the entitled reader had opened, as it said last."""
        counts = re.findall(r"opened (\d+)   reading", self.text)
        return int(counts[-1]) if counts else 0

    def until(self, what: Callable[[], bool], seconds: float = 40) -> None:
        """Wait until *what* is true; fail at once if the demo ends before."""
        until(lambda: what() or self.process.poll() is not None, seconds)
        assert what(), self.text

    def known(self) -> list[Process]:
        """Return everything that it has started and that runs now."""
        self.started = descendants(self.process.pid)
        return self.started

    def press(self, key: bytes) -> None:
        """Press *key* at its terminal."""
        os.write(self._master, key)

    def left(self) -> list[str]:
        """Return what still runs of what was ``known``."""
        return [each.command for each in self.started if each.alive()]

    def gone(self, within: float) -> float:
        """Wait until it and all that it started have ended; return how long it took."""
        begun = time.monotonic()
        self.process.wait(within)
        until(lambda: not self.left(), within)
        return time.monotonic() - begun

    def forget(self) -> None:
        """End it and what it has started, whatever state they are in."""
        if self.process.poll() is None:
            self.known()
            self.process.terminate()
        self.process.wait()
        for each in self.started:
            each.kill()
        self._listener.join()
        if self._master >= 0:
            os.close(self._master)
        if self.process.stdout:
            self.process.stdout.close()


def configured(demo: Demo) -> Path:
    """Return the ``sealward.toml`` that the processes of *demo* go by."""
    (path, *_) = (
        found[1]
        for each in demo.known()
        if (found := re.search(r"--config (\S+)", each.command))
    )
    return Path(path)


def answers(config: Mapping[str, Any]) -> bool:
    """Return whether somebody listens at the broker's port of *config*."""
    with socket.socket() as looking:
        return looking.connect_ex(("127.0.0.1", config["broker"]["port"])) == 0


@dataclass
class Story:
    """What was seen of two demos that ran beside each other."""

    lines: str = ""
    screen: str = ""
    seconds: list[float] = field(default_factory=list)  # from Ctrl-C to the end
    statuses: list[int] = field(default_factory=list)
    kept: Path = Path()
    passing: Path = Path()
    answering: list[bool] = field(default_factory=list)  # the brokers, at the end
    beside: tuple[int, int] = (0, 0)  # opened when the other ended, and later
    report: Mapping[str, Any] = field(default_factory=dict)


def lived(story: Story, plain: Demo, shown: Demo) -> None:
    """Let both demos work, hurt the first, then end them one after the other."""
    plain.until(lambda: plain.opened > 0)
    shown.until(lambda: shown.opened > 0)
    broker = [
        tomllib.loads(configured(demo).read_text(encoding="utf-8"))
        for demo in (plain, shown)
    ]
    story.passing = configured(shown).parent
    gateway = next(each for each in plain.known() if "gateway-1" in each.command)
    os.kill(gateway.pid, signal.SIGKILL)
    plain.until(lambda: "gateway-1 ended with status -9" in plain.text)

    shown.known()
    shown.press(b"\x03")
    story.seconds.append(shown.gone(ENDED))
    story.screen, before = shown.text, plain.opened
    plain.until(lambda: plain.opened > before)
    story.beside = (before, plain.opened)

    refused = next(each for each in plain.known() if "--salts-as" in each.command)
    os.kill(refused.pid, signal.SIGSTOP)
    plain.process.send_signal(signal.SIGINT)
    story.seconds.append(plain.gone(ENDED))
    story.lines = plain.text
    story.statuses = [plain.process.returncode, shown.process.returncode]
    story.answering = [answers(config) for config in broker]


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """Return what was seen of a demo without a terminal beside one with it."""
    with TemporaryDirectory(prefix="sw-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL, where root starts it, is another user
        told = Story(kept=Path(folder) / "kept")
        report = Path(folder) / "report.json"
        plain = Demo(
            *("--patients", "2", "--pack", "1", "--seconds", "100"),
            *("--state", str(told.kept), "--report", str(report)),
        )
        shown = Demo("--patients", "1", "--pack", "1", terminal=True)
        try:
            lived(told, plain, shown)
        finally:
            plain.forget()
            shown.forget()
        told.report = json.loads(report.read_text(encoding="utf-8"))
        yield told


def test_without_a_terminal_it_prints_lines(story: Story) -> None:
    """A log keeps what a screen would have shown: vitals, and what the server sees."""
    assert re.search(r"hr \d+ .*server sees [a-z0-9]{26} vitals \d+ B", story.lines)
    assert "\x1b" not in story.lines


def test_at_a_terminal_it_shows_both_sides(story: Story) -> None:
    """Reader and server stand side by side, the refused reader below, then the sums."""
    for words in (
        "what the entitled reader sees",
        "what the server sees of the same",
        "the refused reader",
        "0 opened",
        "spo2",
        "not a certified medical device",
        "Ctrl-C stops everything",
        "stored_twice 0",
    ):
        assert words in story.screen, words


def test_ctrl_c_ends_everything_soon(story: Story) -> None:
    """Nothing is left after twenty seconds: no process, no port, no socket, no folder.

    Of PostgreSQL the children count too, and a folder that was asked for stays.
    """
    assert max(story.seconds) < ENDED
    assert story.statuses == [0, 0]
    assert story.answering == [False, False]
    assert not story.passing.exists()
    assert story.kept.is_dir()
    assert not [path for path in story.kept.rglob("*") if path.is_socket()]


def test_who_hangs_is_not_waited_for(story: Story) -> None:
    """Who cannot even end has some seconds, then it is ended, and its user is told."""
    assert "reader-refused did not stop; it is ended by force" in story.lines
    assert story.seconds[1] < ENDED - 8


def test_a_killed_child_is_restarted_and_named(story: Story) -> None:
    """Who was killed comes back, and its user is told; nothing that it held is lost."""
    assert "gateway-1 ended with status -9; again in 0.2 s" in story.lines
    packets = story.report["packets"]
    assert packets["admitted"] == packets["stored"] == packets["opened"] > 0


def test_two_demos_do_not_meet(story: Story) -> None:
    """One goes on while the other starts, works and ends."""
    before, after = story.beside
    assert after > before > 0
    assert "started again" not in story.lines


def keys(table: Mapping[str, Any]) -> Sequence[str]:
    """Return the names in *table* and, behind a dot, in its tables of fixed names."""
    fixed = {"packets", "refused_reader", "latency_ms", "bytes_per_reading", "seconds"}
    return sorted(
        name
        for key, value in table.items()
        for name in ([f"{key}.{each}" for each in value] if key in fixed else [key])
    )


def test_a_report_has_these_names(story: Story) -> None:
    """Whoever reads reports by machine relies on their names."""
    assert keys(story.report) == [
        "bytes_per_reading.disk",
        "bytes_per_reading.disk_counts",
        "bytes_per_reading.packet",
        "bytes_per_reading.wire",
        "bytes_per_reading.wire_counts",
        "latency_ms.reading_to_opened",
        "latency_ms.sealed_to_opened",
        "packets.admitted",
        "packets.opened",
        "packets.sent",
        "packets.stored",
        "packets.stored_twice",
        "readings",
        "refusals",
        "refused_reader.asking_itself",
        "refused_reader.because",
        "refused_reader.given",
        "refused_reader.opened",
        "seconds.to_all_started",
        "seconds.to_first_opened",
        "seconds.whole",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="needs pidfd_open(2)")
def test_a_killed_demo_leaves_nothing_behind() -> None:
    """Its guard ends what it started, PostgreSQL and the broker too, and tidies up."""
    demo = Demo("--patients", "1", "--seconds", "100")
    try:
        demo.until(lambda: any("watch" in each.command for each in demo.known()))
        config = configured(demo)
        names = " ".join(each.command for each in demo.started)
        for name in ("postgres", "nats-server", "custody", "intake", "bedside"):
            assert name in names
        demo.process.kill()
        demo.gone(KILLED)
        until(lambda: not config.parent.exists())
    finally:
        demo.forget()
