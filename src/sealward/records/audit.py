"""The audit chains: one a database role, each entry bound to the one before.

No detail holds a clinical value or a name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb

from sealward.records.database import Connection, execute, rows

Detail = Mapping[str, str | int | bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry; *prev* and *hash* are SHA-256, 32 bytes (the first *prev* is 00)."""

    chain: str
    n: int
    at: datetime
    actor: str
    act: str
    subject: str
    detail: Mapping[str, object]
    prev: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """The first number of a chain that does not hold."""

    chain: str
    n: int


def append(
    connection: Connection, actor: str, act: str, subject: str, detail: Detail
) -> int:
    """Append an entry to the chain of the connection's own role; return its number.

    Within a transaction it stands or falls with it, and until the end no other
    session of the same role can append.
    """
    appended = execute(
        connection,
        "select audit.append(%s, %s, %s, %s)",
        (actor, act, subject, Jsonb(dict(detail))),
    ).fetchone()
    return int(appended[0]) if appended else 0


def first_break(connection: Connection) -> list[Break]:
    """Return for each broken chain its first bad number; none is good news.

    Found are changed, missing and inserted entries and a cut tail. A rewrite of tail
    and head together is found by the anchors outside. For the auditor's role.
    """
    return rows(
        connection, Break, "select chain, n from audit.first_break() order by chain"
    )


def entries(connection: Connection, chain: str, limit: int = 100) -> list[Entry]:
    """Return the last *limit* entries of *chain*, the newest first."""
    return rows(
        connection,
        Entry,
        "select chain, n, at, actor, act, subject, detail, prev, hash"
        " from audit.entry where chain = %s order by n desc limit %s",
        (chain, limit),
    )
