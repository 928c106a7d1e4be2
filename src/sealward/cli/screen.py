"""Show one reader's patients on a terminal."""

import threading
from types import TracebackType
from typing import Self

from rich import box
from rich.live import Live
from rich.table import Table

from sealward.analyst.process import SaltRefused, Told
from sealward.analyst.reading import Closed
from sealward.demo.board import DISCLAIMER, moment

SECONDS = 0.5  # between screens


class Screen:
    """A table that is drawn anew as packets are opened."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._rows: dict[str, dict[str, str]] = {}
        self._notes: dict[str, str] = {}
        self._live = Live(
            get_renderable=self._table, screen=True, refresh_per_second=1 / SECONDS
        )

    def take(self, told: Told) -> None:
        """Take note of *told*."""
        with self._lock:
            if isinstance(told, SaltRefused):
                self._notes[told.patient] = f"no day salt: {told.word}: {told.why}"
                return
            patient = told.bed.pseudonym
            row = self._rows.setdefault(patient, {})
            if isinstance(told, Closed):
                said = f"closed: {told.error.reason}: {told.error}"
                if told.error.reason == "salt":  # why custody gave none says more
                    self._notes.setdefault(patient, said)
                else:
                    self._notes[patient] = said
                return
            for at, vital, value in told.values:
                row[vital] = str(value)
                row["at"] = moment(at)

    def _table(self) -> Table:
        with self._lock:
            names = sorted({name for row in self._rows.values() for name in row})
            names = [name for name in names if name != "at"]
            table = Table(
                title=f"as {self._name}", caption=DISCLAIMER, box=box.SIMPLE_HEAD
            )
            for name in ("patient", "at (UTC)", *names, ""):
                table.add_column(name)
            for patient in sorted(self._rows.keys() | self._notes.keys()):
                row = self._rows.get(patient, {})
                values = [row.get(name, "-") for name in ("at", *names)]
                table.add_row(patient, *values, self._notes.get(patient, ""))
            return table

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()
