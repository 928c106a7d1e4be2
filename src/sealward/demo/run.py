"""The demo: a whole site on loopback, shown while it works, and reported at the end."""

import asyncio
import json
import logging
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live

from sealward import metrics
from sealward.bedside.sources import recording
from sealward.demo import board
from sealward.demo.report import disk, report, summary
from sealward.demo.site import WARDS, Patient, Site, make_root
from sealward.demo.tally import Tally
from sealward.demo.tap import Tap
from sealward.errors import ConfigError

log = logging.getLogger(__name__)
DRAIN = 12.0  # seconds at the end for what was sealed to be stored and opened
REFRESH = 0.25  # seconds between screens
LINE = 2.0  # seconds between lines where there is no terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a user asks of the demo."""

    seconds: float | None = None
    report: Path | None = None
    replay: Path | None = None
    speed: float = 1.0
    patients: int = 8
    pack_seconds: int = 2
    state: Path | None = None


class Demo:
    """One run of the demo."""

    def __init__(self, wish: Wish, console: Console) -> None:
        self._wish = wish
        self._console = console
        self._begun = time.monotonic()
        self._stopped = threading.Event()
        self.tally = Tally()
        self.said: deque[str] = deque(maxlen=50)
        root = make_root(wish.state)
        if (root / "custody").exists():
            raise ConfigError(
                f"{root} holds a site already; --state needs a new folder"
            )
        self.site = Site(root, wish.pack_seconds, self._say, passing=wish.state is None)
        self._tap = Tap(self.site, self.tally)
        self.ready = 0.0
        self._empty = 0

    def _say(self, text: str) -> None:
        self.said.append(text)
        log.warning("%s", text)
        if not self._console.is_terminal:
            print(text, flush=True)

    def start(self) -> None:
        """Start the site, its gateways and its two readers."""
        self._console.print("starting PostgreSQL, the broker and the processes …")
        self.site.start()
        self._empty = disk(self.site)
        patients, readers = asyncio.run(self._enrol())
        self._start_gateways(patients)
        entitled, refused = map(str, readers)
        launcher = self.site.launcher
        launcher.start(
            *("reader-entitled", "watch", "--json", "--reader", entitled),
            heard=self.tally.reader,
        )
        launcher.start(
            *("reader-refused", "watch", "--json", "--reader", refused),
            *("--salts-as", entitled),
            heard=self.tally.outsider,
        )
        self._tap.start()
        self.ready = time.monotonic() - self._begun

    async def _enrol(self) -> tuple[list[Patient], tuple[Path, Path]]:
        patients = await self.site.enrol(self._wish.patients)
        entitled = await self.site.enrol_reader(
            "entitled", "role:clinician", f"ward:{WARDS[0]}"
        )
        refused = await self.site.enrol_reader(
            "refused", "role:clinician", f"ward:{WARDS[1]}"
        )
        return patients, (entitled, refused)

    def _start_gateways(self, patients: list[Patient]) -> None:
        """Start a gateway a patient; the last of them deteriorates if simulated."""
        for number, patient in enumerate(patients):
            arguments = ["--folder", str(patient.gateway), "--pick", str(number)]
            if self._wish.replay:
                replay = self._wish.replay.resolve()
                arguments += ["--replay", str(replay), "--loop"]
                arguments += ["--speed", str(self._wish.speed)]
            elif number == len(patients) - 1:
                arguments += ["--course", "deteriorating"]
            self.site.launcher.start(
                f"gateway-{number + 1}",
                *("bedside", "--json", *arguments),
                heard=self.tally.gateway,
            )

    # --- while it runs --------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Return what intake has counted of data packets so far."""
        counted = metrics.read(self.site.root / "intake/metrics.prom")

        def of(name: str) -> int:
            kinds = ("vitals", "wave")
            return sum(
                counted.get(f'sealward_{name}{{kind="{kind}"}}', 0) for kind in kinds
            )

        return {"admitted": of("packets_admitted"), "stored": of("packets_stored")}

    def show(self) -> None:
        """Show what happens until the time is over or somebody stops it."""
        if self._console.is_terminal:
            with Live(console=self._console, screen=True, auto_refresh=False) as screen:
                while self._goes_on():
                    screen.update(
                        board.board(
                            self.tally, self.counts(), self._elapsed(),
                            list(self.said), self._console.height,
                        ),
                        refresh=True,
                    )  # fmt: skip
                    self._wait(REFRESH)
        else:
            while self._goes_on():
                print(
                    board.plain(self.tally, self.counts(), self._elapsed()), flush=True
                )
                self._wait(LINE)

    def _elapsed(self) -> float:
        return time.monotonic() - self._begun

    def _goes_on(self) -> bool:
        wanted = self._wish.seconds
        return not self._stopped.is_set() and (
            wanted is None or self._elapsed() - self.ready < wanted
        )

    def _wait(self, seconds: float) -> None:
        """Tend the site for *seconds*."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stopped.is_set():
            self.site.tend()
            self._stopped.wait(0.1)

    def interrupt(self) -> None:
        """End as soon as may be, in good order."""
        self._stopped.set()

    # --- the end ----------------------------------------------------------------------

    def finish(self) -> Mapping[str, object]:
        """Let what was sealed arrive and be opened, then stop everything."""
        until = time.monotonic() + DRAIN
        launcher = self.site.launcher
        gateways = [name for name in launcher.pids() if name.startswith("gateway")]
        launcher.stop(gateways)
        while time.monotonic() < until and not self._drained():
            self.site.tend()
            time.sleep(0.2)
        result = report(self.site, self.tally, self._begun, self.ready, self._empty)
        self._tap.stop()
        self.site.stop()
        return result

    def _drained(self) -> bool:
        counts = self.counts()
        with self.tally.lock:
            sealed = self.tally.sealed.keys()
            counted = min(counts["admitted"], counts["stored"]) >= len(sealed)
            return counted and sealed <= self.tally.opened

    def abandon(self) -> None:
        """Stop everything at once."""
        self._tap.stop()
        self.site.stop()

    def clean(self) -> None:
        """Remove the state folder, if it was made for this run."""
        if self._wish.state is None:
            shutil.rmtree(self.site.root, ignore_errors=True)


def run(wish: Wish) -> int:
    """Run the demo as *wish* says and return the exit status."""
    console = Console()
    if wish.replay:
        recording.read(wish.replay)  # what is wrong with it is said before all starts
    if console.is_terminal:
        logging.getLogger().setLevel(logging.ERROR)
    demo = Demo(wish, console)
    before = signal.signal(signal.SIGINT, lambda *_: demo.interrupt())
    signal.signal(signal.SIGTERM, lambda *_: demo.interrupt())
    try:
        demo.start()
        demo.show()
        console.print("stopping: what was sealed may still arrive …")
        result = demo.finish()
    except BaseException:
        with suppress(Exception):
            demo.abandon()
        raise
    finally:
        signal.signal(signal.SIGINT, before)
        demo.clean()
    if wish.report:
        wish.report.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for line in summary(result):
        print(line)
    return 0
