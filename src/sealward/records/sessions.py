"""The connections that the broker admitted: whom to close when an alias is revoked.

Written on success alone: a row for a refused attempt would let a thief overwrite its
victim's, and the victim's connection would then outlive the revocation.
"""

from dataclasses import dataclass

from sealward.records.database import Connection, execute, rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A connection that the broker admitted."""

    server_id: str
    cid: int
    client_id: str
    cred: int


def save_session(
    connection: Connection, server_id: str, cid: int, client_id: str, cred: int
) -> None:
    """Record a connection that was admitted, in place of one of the same number."""
    execute(
        connection,
        "insert into registry.broker_session (server_id, cid, client_id, cred)"
        " values (%s, %s, %s, %s) on conflict (server_id, cid) do update"
        " set client_id = excluded.client_id, cred = excluded.cred, since = now()",
        (server_id, cid, client_id, cred),
    )


def drop_session(connection: Connection, server_id: str, cid: int) -> None:
    """Forget a connection that is closed."""
    execute(
        connection,
        "delete from registry.broker_session where server_id = %s and cid = %s",
        (server_id, cid),
    )


def sessions(connection: Connection, alias: str) -> list[Session]:
    """Return the recorded connections of *alias*."""
    return rows(
        connection,
        Session,
        "select s.server_id, s.cid, s.client_id, s.cred"
        " from registry.broker_session s join registry.credential c using (cred)"
        " where c.alias = %s",
        (alias,),
    )


def drop_server(connection: Connection, server_id: str) -> None:
    """Forget every connection of a broker that has ended."""
    execute(
        connection,
        "delete from registry.broker_session where server_id = %s",
        (server_id,),
    )
