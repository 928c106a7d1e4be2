"""Recordings: what a file says becomes readings, and what it cannot say is refused."""

import asyncio
import os
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from sealward.bedside.sources.recording import (
    ColumnError,
    FileError,
    patients,
    read,
)
from sealward.bedside.sources.replay import replay
from sealward.vitals.reading import Reading

DATA = Path(os.environ.get("SEALWARD_TEST_DATA", "../shared/data"))  # noqa: TID251 - where recordings lie is no setting of the product
SECOND = 1_000_000_000
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class LeapingClock:
    """A clock that whoever sleeps moves on."""

    def __init__(self, start: datetime) -> None:
        self.now = start

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass at once."""
        self.now += timedelta(seconds=seconds)


def played(path: Path, *, speed: float = 1.0, pick: int = 0) -> Sequence[Reading]:
    """Return all that a replay of *path* yields, from noon on."""
    clock = LeapingClock(NOON)
    source = replay(read(path, pick=pick), speed=speed, clock=clock, sleep=clock.sleep)

    async def collect() -> list[Reading]:
        return [reading async for reading in source]

    return asyncio.run(collect())


def write(path: Path, text: str) -> Path:
    """Write *text* to *path* and return it."""
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    """A vital's own name, a unit in brackets and a column of patients are enough."""
    path = write(
        tmp_path / "a.csv",
        "patient,Time [s],HR,tbody [degF],note\n"
        "x,0,70,98.6,a\ny,0,80,98.6,b\nx,1,,98.6,c\nx,2,72,nan,d\n",
    )
    assert patients(path) == ["x", "y"]
    first = played(path)
    assert [(r.vital, float(r.value)) for r in first] == [
        *(("hr", 70.0), ("tbody", 37.0), ("tbody", 37.0), ("hr", 72.0)),
    ]
    assert [float(r.value) for r in played(path, pick=1)] == [80.0, 37.0]


def test_a_mapped_column_may_have_any_name(tmp_path: Path) -> None:
    """An operator names a vital, or its LOINC code, for a column."""
    path = write(tmp_path / "a.csv", "t,a,b\n0,70,97\n1,71,96\n")
    recording = read(path, columns={"a": "8867-4", "b": "spo2"})
    assert [channel.vital for channel in recording.channels] == ["hr", "spo2"]


def test_times_may_be_iso_and_steps_are_kept(tmp_path: Path) -> None:
    """A recording's own clock gives the steps; its zone does not matter."""
    path = write(
        tmp_path / "a.csv",
        "timestamp,glucose\n2020-02-13T17:23:32+01:00,61\n2020-02-13T17:28:32+01:00,59\n",
    )
    recording = read(path)
    assert [at for at, _ in recording.rows] == [0, 300 * SECOND]
    assert recording.duration == 600 * SECOND


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", FileError),
        ("hr,spo2\n1\n", FileError),
        ("note\nx\n", ColumnError),
        ("hr,HR\n70,71\n", ColumnError),
        ("t,hr\n1,70\n0,71\n", FileError),
        ("t,hr\nyesterday,70\n", FileError),
        ("hr [Cel],x\n70,1\n", None),
        ("tbody [furlong],x\n37,1\n", None),
        ("patient,hr\n", FileError),
    ],
)
def test_a_malformed_file_is_refused(
    tmp_path: Path, text: str, error: type[Exception] | None
) -> None:
    """What cannot be read says why; a unit that does not fit is refused a reading."""
    path = write(tmp_path / "a.csv", text)
    if error is None:
        source = replay(read(path), clock=LeapingClock(NOON))

        async def collect() -> int:
            return len([reading async for reading in source])

        assert asyncio.run(collect()) == 0
        assert source.refusals == {"unit": 1}
    else:
        with pytest.raises(error):
            read(path)


def test_implausible_values_are_counted_by_name(tmp_path: Path) -> None:
    """A value that no heart has is refused, never clipped."""
    path = write(tmp_path / "a.csv", "hr\n70\n900\nx\n")
    source = replay(
        read(path),
        clock=(clock := LeapingClock(NOON)),
        sleep=clock.sleep,
    )

    async def collect() -> list[Reading]:
        return [reading async for reading in source]

    assert [float(r.value) for r in asyncio.run(collect())] == [70.0]
    assert source.refusals == {"implausible": 1, "number": 1}


def test_parquet_and_csv_say_the_same(tmp_path: Path) -> None:
    """A format changes no reading."""
    table = pa.table({"subject": [1, 1, 2], "HR": [70.0, None, 80.0]})
    parquet.write_table(table, tmp_path / "a.parquet")
    write(tmp_path / "a.csv", "subject,HR\n1,70.0\n1,\n2,80.0\n")
    assert played(tmp_path / "a.parquet") == played(tmp_path / "a.csv")


def test_a_wfdb_record_is_replayed(tmp_path: Path) -> None:
    """Waves are readings too, each sample at its time."""
    samples = [[0.1, 0.5], [0.2, 0.6], [float("nan"), 0.7]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import numpy as np  # noqa: PLC0415 - wfdb brings it
        import wfdb  # noqa: PLC0415 - it warns of its own dependencies

        wfdb.wrsamp(
            "rec",
            fs=250,
            units=["mV", "NU"],
            sig_name=["II", "PLETH"],
            p_signal=np.array(samples),
            fmt=["16", "16"],
            write_dir=str(tmp_path),
        )
    found = played(tmp_path / "rec.hea")
    assert [r.vital for r in found] == ["ecg2", "pleth", "ecg2", "pleth", "pleth"]
    assert found[2].at - found[0].at == SECOND // 250


def test_a_faster_replay_never_passes_now(tmp_path: Path) -> None:
    """Ten minutes at 60 times their pace end in the present."""
    path = write(tmp_path / "a.csv", "hr\n" + "70\n" * 600)
    found = played(path, speed=60)
    end = NOON + timedelta(seconds=10)
    assert found[-1].at <= int(end.timestamp()) * SECOND
    assert found[0].at >= int((NOON - timedelta(seconds=600)).timestamp()) * SECOND
    assert found[-1].at - found[0].at == 599 * SECOND


def test_a_real_recording_is_replayed() -> None:
    """The 1 Hz numerics of intensive care are read as they are published."""
    path = DATA / "bidmc/numerics_1hz.parquet"
    if not path.exists():
        pytest.skip("real recordings not found: set SEALWARD_TEST_DATA")
    assert len(patients(path)) == 53
    found = played(path, speed=600)
    assert {reading.vital for reading in found} == {"hr", "pr", "rr", "spo2"}
    assert len(found) > 1500
