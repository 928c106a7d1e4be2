"""Recordings of intensive care take as few bytes as promised.

The recordings (BIDMC, ODC-BY 1.0) are kept beside the project, not in it.
"""

import math
import os
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from sealward.packet import sr1
from sealward.packet.profile import ICU_1

DATA = Path(
    os.environ.get(  # noqa: TID251 - a test's own input, not the product's
        "SEALWARD_TEST_DATA", Path(__file__).parents[3] / "shared/data"
    )
)
GROUP = ICU_1.group(0)
COLUMNS = ("HR", "PULSE", "RESP", "SpO2")

Row = tuple[int | None, ...]


@pytest.fixture(scope="module")
def recordings() -> list[list[Row]]:
    """Return the raw rows of each recording, a value off the scale being a gap."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    path = DATA / "bidmc/numerics_1hz.parquet"
    if not path.exists():
        pytest.skip("real recordings not found: set SEALWARD_TEST_DATA to run this")
    file = parquet.read_table(path, columns=["record", *COLUMNS]).to_pydict()
    records: dict[int, list[Row]] = defaultdict(list)
    rows = zip(*(file[name] for name in COLUMNS), strict=True)
    for record, row in zip(file["record"], rows, strict=True):
        records[record].append(
            tuple(
                int(value) if value is not None and c.lo <= value <= c.hi else None
                for value, c in zip(row, GROUP.channels, strict=True)
            )
        )
    return list(records.values())


def entropy(recordings: list[list[Row]]) -> float:
    """Return the order-0 entropy of first differences, in bytes a reading."""
    bits = 0.0
    for number in range(len(COLUMNS)):
        steps: Counter[int] = Counter()
        for rows in recordings:
            values = [row[number] for row in rows]
            for before, value in pairwise(values):
                if before is not None and value is not None:
                    steps[value - before] += 1
        total = steps.total()
        bits -= sum(n / total * math.log2(n / total) for n in steps.values())
    return bits / 8 / len(COLUMNS)


@pytest.mark.parametrize(("seconds", "limit"), [(60, 2.0), (300, 1.6)])
def test_a_pack_is_near_the_entropy_of_its_steps(
    recordings: list[list[Row]], seconds: int, limit: float
) -> None:
    """Twice it for a minute, 1.6 times for five; headers and first values included."""
    size = readings = 0
    for rows in recordings:
        for start in range(0, len(rows) - seconds + 1, seconds):
            columns = dict(enumerate(zip(*rows[start : start + seconds], strict=True)))
            size += len(sr1.encode(GROUP, 0, seconds, columns, padded=False)) - 1
            readings += seconds * len(columns)
    assert readings > 60_000
    assert size / readings <= limit * entropy(recordings)
