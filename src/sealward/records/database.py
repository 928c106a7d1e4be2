"""Connect to PostgreSQL, and turn its errors into ours."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from typing import LiteralString, TypeAlias, TypeVar

import psycopg
from psycopg.rows import TupleRow, class_row

from sealward.errors import RefusalError, UnavailableError

Connection: TypeAlias = psycopg.Connection[TupleRow]
Parameters: TypeAlias = Sequence[object] | Mapping[str, object]
Row = TypeVar("Row")

_FIRST_DAY = date(1970, 1, 1)
PATIENCE = 5  # seconds to wait for PostgreSQL to accept a connection


class ConflictingError(RefusalError):
    """It contradicts what is stored, which stays as it is."""

    reason = "conflicting"


def day(epoch: int) -> date:
    """Return the date of *epoch*, the number of days since 1970-01-01."""
    return _FIRST_DAY + timedelta(days=epoch)


@contextmanager
def reachable() -> Iterator[None]:
    """Turn a lost connection into an error of ours.

    Raises:
        UnavailableError: PostgreSQL is away, or a limit in time ended the wait.
    """
    try:
        yield
    except (
        psycopg.OperationalError,
        psycopg.errors.IdleInTransactionSessionTimeout,
    ) as error:
        raise UnavailableError("PostgreSQL does not answer") from error


@contextmanager
def translated() -> Iterator[None]:
    """Turn a lost connection and a broken rule into errors of ours.

    A wrong query stays what it is: a fault of the caller's.

    Raises:
        UnavailableError: as ``reachable`` says.
        ConflictingError: a row would break a rule of the schema; the message
            names the rule and no value.
    """
    try:
        with reachable():
            yield
    except psycopg.IntegrityError as error:
        rule = error.diag.constraint_name or error.diag.column_name or "a rule"
        raise ConflictingError(f"it contradicts {rule} of the database") from error


def connect(url: str) -> Connection:
    """Connect by *url*, a libpq connection string, in autocommit and in UTC.

    Autocommit, since an idle transaction is ended after five seconds (the roles'
    own limit): what belongs together stands in ``with connection.transaction()``.

    Raises:
        UnavailableError: PostgreSQL does not answer within ``PATIENCE``.
    """
    with translated():
        return psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=PATIENCE,
            options="-c timezone=UTC",
        )


def execute(
    connection: Connection, query: LiteralString, parameters: Parameters = ()
) -> psycopg.Cursor[TupleRow]:
    """Run *query* and return its cursor, with errors as ``translated`` gives them."""
    with translated():
        return connection.execute(query, parameters)


def rows(
    connection: Connection,
    of: type[Row],
    query: LiteralString,
    parameters: Parameters = (),
) -> list[Row]:
    """Return the rows of *query*, each a new *of* whose fields are the columns."""
    with translated(), connection.cursor(row_factory=class_row(of)) as cursor:
        return cursor.execute(query, parameters).fetchall()


def row(
    connection: Connection,
    of: type[Row],
    query: LiteralString,
    parameters: Parameters = (),
) -> Row | None:
    """Return the first row of *query* as a new *of*, or None if there is none."""
    with translated(), connection.cursor(row_factory=class_row(of)) as cursor:
        return cursor.execute(query, parameters).fetchone()
