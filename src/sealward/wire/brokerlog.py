"""Count what the broker refuses by itself, which no other code of ours ever sees.

The text holds alias and source address side by side, so it is kept a week, 0600.
"""

import os
import re
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import IO

from sealward import clock

KEPT = timedelta(days=7)
LINE = 4096  # bytes; a longer line is cut, for peers can make one long
_READY = re.compile(rb"\] Server is ready$")

# The first that is found in a line of level WRN or ERR says what was refused; the
# words are those of nats-server 2.15.1, held by tests on the real one.
_REASONS = (
    ("certificate", re.compile(rb"TLS handshake error: .*(certificate|x509)")),
    ("tls", re.compile(rb"TLS handshake (error|timeout)|tls: ")),
    ("trespass", re.compile(rb"(Publish|Subscription) Violation")),
    ("oversize", re.compile(rb"[Mm]aximum [Pp]ayload")),
    ("qos", re.compile(rb"QoS2|QoS=2|QoS 2")),
    ("auth", re.compile(rb"unable to connect: auth|cid:\d+ .*[Aa]uth\w+ (error|Viol)")),
    (
        "malformed",
        re.compile(
            rb"malformed|unacceptable protocol|[Pp]arse|Protocol Viol|invalid character"
        ),
    ),
)
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"?')  # what a client says of itself, and topics
_LEVEL = re.compile(rb"\[(WRN|ERR|FTL)\]")


def reason(line: bytes) -> str | None:
    """Return why the broker refused something, if *line* of its log says so."""
    if not _LEVEL.search(line):
        return None
    said = _QUOTED.sub(b"", line)  # or a client could name itself after a reason
    return next((word for word, shape in _REASONS if shape.search(said)), None)


class Log:
    """Reads the broker's log from a pipe, in a thread of its own, to the end."""

    def __init__(self, pipe: IO[bytes], folder: Path) -> None:
        """Keep what *pipe* says in *folder*, which is ours and 0700."""
        self.listening = False
        self.ready = threading.Event()  # it listens, or it has ended
        self.last = ""  # the line that came last
        self._counts: Counter[str] = Counter()
        self._pipe = pipe
        self._folder = folder
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def refusals(self) -> Counter[str]:
        """Return how often the broker refused, by reason."""
        return self._counts.copy()

    def end(self) -> None:
        """Wait until the pipe has been read to its end."""
        self._thread.join(timeout=10)

    def _read(self) -> None:
        with self._pipe as pipe:
            while line := pipe.readline(LINE):
                self._take(line.rstrip())
        self.ready.set()

    def _take(self, line: bytes) -> None:
        self._keep(line)
        self.last = line.decode("utf-8", "replace")
        if word := reason(line):
            self._counts[word] += 1
        if _READY.search(line):
            self.listening = True
            self.ready.set()

    def _keep(self, line: bytes) -> None:
        """Append *line* to today's file; a new day forgets the oldest."""
        now = clock.now()
        today = self._folder / f"{now:%Y-%m-%d}.log"
        if not today.exists():
            oldest = f"{now - KEPT:%Y-%m-%d}.log"
            for old in self._folder.glob("????-??-??.log"):
                if old.name <= oldest:
                    old.unlink(missing_ok=True)
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        descriptor = os.open(today, mode, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line + b"\n")
