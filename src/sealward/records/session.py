"""Keep a connection for whoever asks now and then, and make it anew when it breaks."""

from collections.abc import Callable
from threading import Lock
from typing import TypeVar

import psycopg
from psycopg import conninfo

from sealward.errors import ConfigError, UnavailableError
from sealward.records.database import Connection, connect, translated

Result = TypeVar("Result")


class Session:
    """One connection, lent to one thread at a time."""

    def __init__(self, url: str) -> None:
        """Connect by *url* when first asked."""
        self._url = url
        self._lock = Lock()
        self._connection: Connection | None = None

    def run(self, act: Callable[[Connection], Result]) -> Result:
        """Return what *act* does with the connection, in a transaction of its own.

        A connection that was found broken before *act* began is made anew; one that
        breaks meanwhile is not tried again, for what was asked may have been done.

        Raises:
            UnavailableError: PostgreSQL does not answer.
        """
        with self._lock:
            connection = self._whole()
            try:
                with translated(), connection.transaction():
                    return act(connection)
            except UnavailableError:
                connection.close()
                raise

    def _whole(self) -> Connection:
        """Return a connection that answers."""
        if self._connection is not None and not self._connection.closed:
            try:
                self._connection.execute("select 1")
            except psycopg.OperationalError:
                self._connection.close()
            else:
                return self._connection
        self._connection = connect(self._url)
        return self._connection

    def close(self) -> None:
        """Close the connection, if there is one."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()


def as_role(url: str, role: str) -> str:
    """Return *url*, a libpq connection string, for the database role *role*.

    Raises:
        ConfigError: *url* is no connection string.
    """
    try:
        return conninfo.make_conninfo(url, user=f"sealward_{role}")
    except psycopg.ProgrammingError as error:
        raise ConfigError("the database's url is no connection string") from error
