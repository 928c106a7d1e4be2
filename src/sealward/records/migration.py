"""Bring the schema to the number that this code expects, forward only.

Each step is a numbered file under ``sql``: ``pre`` steps only add and come before
new code, ``post`` steps remove and come after the old code is gone.
"""

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import psycopg

from sealward.errors import ConfigError
from sealward.records.database import Connection, connect, execute, translated

_FOLDER = Path(__file__).with_name("sql")
_NAME = re.compile(r"(\d{4})_(pre|post)_[a-z_]+\.sql")

_HISTORY = """
    create table if not exists public.migration (
      n      integer primary key,
      sha256 bytea not null check (octet_length(sha256) = 32),
      at     timestamptz not null default now(),
      by     text not null default session_user,
      phase  text not null check (phase in ('pre', 'post')))
"""


class UnmigratedError(ConfigError):
    """The schema is not the one that this code was written for."""

    reason = "unmigrated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One file of SQL: its number, phase and content."""

    number: int
    phase: Literal["pre", "post"]
    text: bytes

    @property
    def digest(self) -> bytes:
        """Return the SHA-256 that is recorded when the step is taken, 32 bytes."""
        return hashlib.sha256(self.text).digest()


def steps(folder: Path = _FOLDER) -> list[Step]:
    """Return the steps in *folder* in their order, numbered from 1 without holes."""
    found: list[Step] = []
    for path in sorted(folder.glob("*.sql")):
        name = _NAME.fullmatch(path.name)
        if name is None or int(name[1]) != len(found) + 1:
            raise UnmigratedError(f"{path.name} is out of order in {folder}")
        phase = cast("Literal['pre', 'post']", name[2])
        found.append(
            Step(number=len(found) + 1, phase=phase, text=path.read_bytes()),
        )
    return found


def expected() -> int:
    """Return the number that the schema must have for this code."""
    return len(steps())


_MADE = (
    psycopg.errors.DuplicateObject,
    psycopg.errors.DuplicateTable,
    psycopg.errors.UniqueViolation,
)


def migrate(url: str) -> list[int]:
    """Take the steps that are missing and return their numbers.

    *url* connects as the owner of the database. Each step is a transaction of its
    own, under a lock that lets one migrator work at a time; who comes second waits
    three seconds, and finds the work done or is told to try again.

    Raises:
        UnmigratedError: a step was changed after it had been taken.
        UnavailableError: PostgreSQL is away, or another migrator is at work.
    """
    taken = []
    with connect(url) as connection, translated():
        connection.execute("set lock_timeout = '3s'")
        # Two that begin at once may both see no table: the loser finds it made, and
        # is told so by whichever of table, type and index it meets first.
        with suppress(*_MADE):
            connection.execute(_HISTORY)
        for step in steps():
            with connection.transaction():
                connection.execute("lock table public.migration")
                if _is_taken(connection, step):
                    continue
                connection.execute(step.text)
                connection.execute(
                    "insert into public.migration (n, sha256, phase)"
                    " values (%s, %s, %s)",
                    (step.number, step.digest, step.phase),
                )
            taken.append(step.number)
    return taken


def _is_taken(connection: Connection, step: Step) -> bool:
    """Say whether *step* was taken before, as it is now."""
    found = connection.execute(
        "select sha256 from public.migration where n = %s", (step.number,)
    ).fetchone()
    if found is not None and found[0] != step.digest:
        raise _changed(step.number)
    return found is not None


def _changed(number: int) -> UnmigratedError:
    return UnmigratedError(
        f"step {number} of the schema was changed after it had been taken:"
        " restore the file of the release that took it"
    )


def check(connection: Connection) -> None:
    """Refuse to work on a schema that this code was not written for.

    Any role of ours may ask.

    Raises:
        UnmigratedError: steps are missing, unknown or changed; says what to do.
    """
    try:
        history: dict[int, bytes] = dict(
            execute(connection, "select n, sha256 from public.migration").fetchall()
        )
    except psycopg.errors.UndefinedTable:
        history = {}
    wanted = {step.number: step.digest for step in steps()}
    for number in sorted(wanted.keys() & history.keys()):
        if wanted[number] != history[number]:
            raise _changed(number)
    if missing := wanted.keys() - history.keys():
        raise UnmigratedError(
            f"the schema lacks steps {sorted(missing)}: run `sealward migrate`"
        )
    if unknown := history.keys() - wanted.keys():
        raise UnmigratedError(
            f"the schema has steps {sorted(unknown)} of a later release:"
            " start that release"
        )
