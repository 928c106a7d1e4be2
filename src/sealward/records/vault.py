"""Erase salts, wrapped: custody's role alone comes here, and PostgreSQL opens none."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sealward.records.database import Connection, execute, rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """A patient whose salt was destroyed and may never come back."""

    patient_id: UUID
    at: datetime
    by_actor: str


def add_salt(
    connection: Connection, patient_id: UUID, kek_gen: int, wrapped40: bytes
) -> None:
    """Store a new patient's salt, wrapped under the key of generation *kek_gen*.

    Raises:
        ConflictingError: the patient has one, or was erased.
    """
    execute(
        connection,
        "insert into vault.salt (patient_id, kek_gen, wrapped) values (%s, %s, %s)",
        (patient_id, kek_gen, wrapped40),
    )


def read_salt(  # noqa: PLR0913, PLR0917 - the audit entry wants to know
    connection: Connection,
    patient_id: UUID,
    first: int,
    last: int,
    actor: str,
    why: str,
) -> tuple[int, bytes] | None:
    """Return (generation, wrapped salt) to derive the days *first* to *last* from.

    The audit entry, which names *actor* and *why*, is written in the transaction
    that reads, also for a patient who has none (None: unknown, or erased).
    """
    found = execute(
        connection,
        "select kek_gen, wrapped from vault.read_salt(%s, %s, %s, %s, %s)",
        (patient_id, first, last, actor, why),
    ).fetchone()
    return (found[0], found[1]) if found else None


def erase(connection: Connection, patient_id: UUID, actor: str) -> None:
    """Destroy the salt, leave a tombstone, mark the patient erased; one transaction.

    Final only when the generation that wrapped the salt is gone too.
    """
    execute(connection, "select vault.erase(%s, %s)", (patient_id, actor))


def tombstones(connection: Connection) -> list[Tombstone]:
    """Return every erased patient, the oldest first."""
    return rows(
        connection,
        Tombstone,
        "select patient_id, at, by_actor from vault.erased order by at",
    )
