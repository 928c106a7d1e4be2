"""Real recordings beside the project, as columns of raw values a pack."""

import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from sealward.bedside.sources import course as courses
from sealward.bedside.sources.recording import patients, read
from sealward.packet.profile import BED_1, ICU_1, Group, OffScaleError

DATA = Path(
    os.environ.get(  # noqa: TID251 - where recordings lie is no setting of the product
        "SEALWARD_TEST_DATA", Path(__file__).parents[2] / "shared/data"
    )
)
BIDMC = DATA / "bidmc/numerics_1hz.parquet"

Columns = dict[int, list[int | None]]


def group() -> Group:
    """Return the group of four vitals at 1 Hz that the recordings hold."""
    return ICU_1.group(0)


def recorded(seconds: int) -> Iterator[Columns]:
    """Yield every whole pack of *seconds* of every recording; gaps are None."""
    channels = group().channels
    for number, _ in enumerate(patients(BIDMC)):
        recording = read(BIDMC, pick=number)
        names = [channel.vital for channel in recording.channels]
        places = [names.index(channel.code) for channel in channels]
        rows = [cells for _, cells in recording.rows]
        for at in range(0, len(rows) - seconds + 1, seconds):
            columns: Columns = {}
            for place, column in enumerate(places):
                raws = [_raw(place, cells[column]) for cells in rows[at : at + seconds]]
                if any(raw is not None for raw in raws):
                    columns[place] = raws
            if columns:
                yield columns


def _raw(place: int, cell: float | str | None) -> int | None:
    try:
        return None if cell is None else group().channels[place].raw(float(cell))
    except OffScaleError:
        return None


def simulated(seconds: int, packs: int) -> Iterator[Columns]:
    """Yield *packs* packs of *seconds* of a simulated person's four vitals."""
    channels = BED_1.group(0).channels
    stream = courses.course("bench/1", "normal")
    for _ in range(packs):
        shown = [next(stream) for _ in range(seconds)]
        yield {
            place: [
                channel.raw(Decimal(str(second[channel.code])))
                if channel.code in second
                else None
                for second in shown
            ]
            for place, channel in enumerate(channels)
        }
