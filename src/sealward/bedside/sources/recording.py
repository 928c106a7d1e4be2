"""Read a recording: CSV, Parquet or WFDB, one patient's rows in order of time.

A column is a vital if its name is one (``find`` of the table of vitals), or if it is
mapped to one. Its unit may stand behind the name in brackets, as in ``Temp [degF]``.
What cannot be a reading stays here as text or number; it is refused by name later.
"""

import csv
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from sealward.errors import ConfigError
from sealward.vitals.table import UnknownVitalError, Vital, find
from sealward.vitals.units import ucum

SECOND = 1_000_000_000  # ns
TIMES = ("time", "timestamp", "time_local", "datetime", "t", "second", "seconds")
PATIENTS = ("patient", "patient_id", "subject", "subject_id", "record", "id")
_HEAD = re.compile(r"\s*(?P<name>[^\[\]]*?)\s*(?:\[(?P<unit>[^\[\]]+)\])?\s*")

Cell: TypeAlias = float | str
Row: TypeAlias = tuple[int, tuple[Cell | None, ...]]  # ns from the first row


class FileError(ConfigError):
    """The file is no recording that can be read, or has not what was asked for."""

    reason = "file"


class ColumnError(ConfigError):
    """A column is not there, or means no vital."""

    reason = "column"


class ExtraError(ConfigError):
    """Reading such files needs a package that is not installed."""

    reason = "extra"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A column that is a vital; *unit* is None where it is the vital's own."""

    vital: str
    unit: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One patient's recording; *duration* is in ns, the last row's own included."""

    channels: tuple[Channel, ...]
    rows: Sequence[Row]
    duration: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A file's columns, by their heads, all of one length."""

    columns: Mapping[str, Sequence[object]]

    def named(self, names: Iterable[str]) -> str | None:
        """Return the first head that is, without its unit, one of *names*."""
        for head in self.columns:
            if _split(head)[0].casefold() in names:
                return head
        return None


def _split(head: str) -> tuple[str, str | None]:
    """Return name and unit of a column's *head*."""
    match = _HEAD.fullmatch(head)
    return (match["name"], match["unit"]) if match else (head, None)


def read(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    patient_column: str | None = None,
    patient: str | None = None,
    pick: int = 0,
) -> Recording:
    """Return one patient's recording in *path*.

    *columns* maps a column to a vital's name or LOINC code; without it every column
    that is named like a vital counts. *patient_column* tells patients apart (by
    default a column with such a name); *patient* is the value to take, else the
    *pick*-th patient, counted round.

    Raises:
        FileError: it is not there, of no known kind, malformed or without rows.
        ColumnError: a column is not there, or nothing in it is a vital.
        ExtraError: the package that reads such files is not installed.
    """
    if not path.exists() and not path.with_suffix(".hea").exists():
        raise FileError(f"{path} is not there")
    if path.suffix in (".hea", ".dat"):
        return _wfdb(path, columns or {})
    table = _table(path)
    keep = _patient(table, path, patient_column, patient, pick)
    channels = _channels(table.columns, columns or {})
    times = _times(table, keep)
    heads = list(channels)
    rows = [
        (at, tuple(_cell(table.columns[head][row]) for head in heads))
        for at, row in zip(times, keep, strict=True)
    ]
    return _recording(tuple(channels.values()), rows)


def patients(path: Path, column: str | None = None) -> list[str]:
    """Return the patients of the table in *path*, in order of their first row.

    Raises:
        FileError, ColumnError, ExtraError: as for ``read``.
    """
    table = _table(path)
    head = column or table.named(PATIENTS)
    if head is None:
        return []
    return list(dict.fromkeys(str(each) for each in _column(table, head)))


# --- files --------------------------------------------------------------------


def _table(path: Path) -> Table:
    """Return the table in *path*, a CSV or Parquet file."""
    match path.suffix.casefold():
        case ".csv":
            return _csv(path)
        case ".parquet":
            return _parquet(path)
        case _:
            raise FileError(f"{path}: recordings end in .csv, .parquet, .hea or .dat")


def _csv(path: Path) -> Table:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head, *lines = csv.reader(file)
    except (ValueError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} is no CSV with a line of heads") from error
    lines = [line for line in lines if line]
    if any(len(line) != len(head) for line in lines) or len(set(head)) != len(head):
        raise FileError(f"{path}: every line has as many fields as there are heads")
    columns = {name: [line[at] for line in lines] for at, name in enumerate(head)}
    return Table(columns=columns)


def _parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ExtraError(
            f"{path}: Parquet needs pyarrow: `make files`, or pip's sealward[files]"
        ) from error
    try:
        read_in = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        raise FileError(f"{path} is no Parquet file") from error
    columns = {name: read_in[name].to_pylist() for name in read_in.column_names}
    return Table(columns=columns)


def _wfdb(path: Path, mapped: Mapping[str, str]) -> Recording:
    """Return the WFDB record of which *path* is a file."""
    with warnings.catch_warnings():  # what wfdb does to its own dependencies
        warnings.simplefilter("ignore")
        return _wfdb_quietly(path, mapped)


def _wfdb_quietly(path: Path, mapped: Mapping[str, str]) -> Recording:
    try:
        import wfdb  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ExtraError(
            f"{path}: WFDB needs wfdb: `make files`, or pip's sealward[files]"
        ) from error
    try:
        record = wfdb.rdrecord(str(path.with_suffix("")))
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise FileError(f"{path} is no WFDB record") from error
    heads = [
        f"{name} [{unit}]"
        for name, unit in zip(record.sig_name, record.units, strict=True)
    ]
    channels = _channels(heads, mapped, plain=True)
    chosen = [heads.index(head) for head in channels]
    signals = record.p_signal[:, chosen].tolist()
    step = SECOND / record.fs
    rows = [
        (int(number * step), tuple(_cell(value) for value in values))
        for number, values in enumerate(signals)
    ]
    return _recording(tuple(channels.values()), rows)


# --- columns ------------------------------------------------------------------


def _column(table: Table, head: str) -> Sequence[object]:
    try:
        return table.columns[head]
    except KeyError:
        known = ", ".join(table.columns)
        raise ColumnError(f"there is no column {head}; there are {known}") from None


def _channels(
    heads: Iterable[str], mapped: Mapping[str, str], *, plain: bool = False
) -> dict[str, Channel]:
    """Return the columns that are vitals, by their heads.

    With *plain*, units that no vital can have (``NU`` of a pleth) are left out.
    """
    known = list(heads)
    by_name = {_split(head)[0]: head for head in known} | {head: head for head in known}
    chosen: dict[str, str] = {}
    for column, wanted in mapped.items():
        if column not in by_name:
            raise ColumnError(f"there is no column {column}; there are {known}")
        chosen[by_name[column]] = wanted
    if not mapped:
        chosen = {head: _split(head)[0] for head in known}
    found: dict[str, Channel] = {}
    for head, name in chosen.items():
        try:
            vital = find(name)
        except UnknownVitalError:
            if mapped:
                raise ColumnError(f"{name} is no vital's name or LOINC code") from None
            continue
        found[head] = Channel(vital=vital.key, unit=_unit(head, vital, plain=plain))
    vitals = [channel.vital for channel in found.values()]
    if not found or len(set(vitals)) != len(vitals):
        raise ColumnError(f"map one column to each vital, of {', '.join(known)}")
    return found


def _unit(head: str, vital: Vital, *, plain: bool) -> str | None:
    """Return the unit that *head* names, None if it is *vital*'s own."""
    spelt = _split(head)[1]
    if spelt is None or (plain and vital.ucum == "1"):
        return None
    unit = ucum(spelt)
    return None if unit == vital.ucum else unit


def _cell(value: object) -> Cell | None:
    """Return *value* as a reading's, None for a gap."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float):
        return None if math.isnan(value) else float(value)
    return str(value)


def _patient(
    table: Table, path: Path, column: str | None, patient: str | None, pick: int
) -> list[int]:
    """Return the numbers of the rows of the patient who is asked for."""
    head = column or table.named(PATIENTS)
    count = len(next(iter(table.columns.values()), ()))
    if head is None:
        if patient is not None:
            raise ColumnError(f"{path} tells no patients apart; name --patient-column")
        return list(range(count))
    whose = [str(each) for each in _column(table, head)]
    names = list(dict.fromkeys(whose))
    if not names:
        raise FileError(f"{path} has no rows")
    wanted = patient if patient is not None else names[pick % len(names)]
    if wanted not in names:
        raise FileError(f"{path} has no patient {wanted}")
    return [row for row, each in enumerate(whose) if each == wanted]


def _times(table: Table, keep: Sequence[int]) -> list[int]:
    """Return when the rows *keep* were recorded, in ns after the first of them.

    Seconds, or ISO 8601 times; without a column of times, a row is a second.
    """
    head = table.named(TIMES)
    if head is None:
        return [number * SECOND for number in range(len(keep))]
    column = table.columns[head]
    try:
        times = [_instant(column[row]) for row in keep]
    except (ValueError, TypeError, OverflowError) as error:
        raise FileError(f"{head} holds neither seconds nor ISO 8601 times") from error
    if any(later < earlier for earlier, later in pairwise(times)):
        raise FileError(f"{head} goes back")
    return [at - times[0] for at in times]


def _instant(value: object) -> int:
    """Return *value*, a cell of a column of times, in ns of whatever clock it has."""
    if isinstance(value, int | float):
        return round(value * SECOND)
    if isinstance(value, datetime):
        return _nanoseconds(value)
    text = str(value)
    try:
        return round(float(text) * SECOND)
    except ValueError:
        return _nanoseconds(datetime.fromisoformat(text))


def _nanoseconds(at: datetime) -> int:
    """Return *at* in ns since 1970; a time without a zone counts as UTC, for steps."""
    whole = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(whole.timestamp() * 1_000_000) * 1000


def _recording(channels: tuple[Channel, ...], rows: Sequence[Row]) -> Recording:
    if not rows:
        raise FileError("the recording has no rows")
    step = _step(row[0] for row in rows)
    return Recording(channels=channels, rows=rows, duration=rows[-1][0] + step)


def _step(times: Iterator[int]) -> int:
    """Return the first step between two rows, a second if there is but one."""
    first = next(times)
    return next((at - first for at in times if at > first), SECOND)
