"""Read the recordings beside the project; no row of them is ever kept here."""

import os
from pathlib import Path

import pyarrow.parquet

from sealward.vitals.table import VITALS

DATA = Path(
    os.environ.get(  # noqa: TID251 - where a tester keeps the recordings
        "SEALWARD_TEST_DATA", Path(__file__).parents[3] / "shared/data"
    )
)
COLUMNS = {"hr": "HR", "pr": "PULSE", "rr": "RESP", "spo2": "SpO2"}


def bidmc(vital: str, data: Path = DATA) -> list[list[float | None]]:
    """Return *vital* of BIDMC's people at 1 Hz; a value that is no value is None.

    Whoever has less than half of a recording is left out: for one of the 53 the
    respiratory rate stands at 0 throughout.
    """
    name = COLUMNS[vital]
    table = pyarrow.parquet.read_table(
        data / "bidmc/numerics_1hz.parquet", columns=["record", name]
    ).to_pydict()
    people: dict[int, list[float | None]] = {}
    row = VITALS[vital]
    for record, value in zip(table["record"], table[name], strict=True):
        plausible = value is not None and row.low <= value <= row.high  # not so for NaN
        people.setdefault(record, []).append(value if plausible else None)
    return [
        series for series in people.values() if series.count(None) * 2 < len(series)
    ]
