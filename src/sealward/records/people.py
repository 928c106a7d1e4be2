"""People and their attributes, which count only with a registrar's signature."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sealward.records.database import Connection, execute, row

PersonState = Literal["active", "suspended", "left"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A member of staff; *subject* is the identity provider's name for them."""

    person_id: UUID
    subject: str
    display: str
    state: PersonState


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeChange:
    """What a registrar signed: this person, with this key, has these attributes."""

    person_id: UUID
    number: int
    attributes: list[str]
    spki: bytes
    registrar: bytes  # SHA-256 of the registrar's key, 32 bytes
    signature: bytes
    at: datetime


def add_person(
    connection: Connection, person_id: UUID, subject: str, display: str
) -> None:
    """Add a person, without attributes."""
    execute(
        connection,
        "insert into registry.person (person_id, subject, display) values (%s, %s, %s)",
        (person_id, subject, display),
    )


_PERSON = "select person_id, subject, display, state from registry.person"


def person(connection: Connection, person_id: UUID) -> Person | None:
    """Return the person, or None."""
    return row(connection, Person, _PERSON + " where person_id = %s", (person_id,))


def person_by_subject(connection: Connection, subject: str) -> Person | None:
    """Return the person whom the identity provider calls *subject*, or None."""
    return row(connection, Person, _PERSON + " where subject = %s", (subject,))


def add_attribute_change(  # noqa: PLR0913, PLR0917 - what was signed
    connection: Connection,
    person_id: UUID,
    number: int,
    attributes: Sequence[str],
    spki: bytes,
    registrar32: bytes,
    signature: bytes,
) -> None:
    """Add a signed change; *number* is above every earlier one of that person.

    Nothing is verified here: share holders do, against keys in their own files.

    Raises:
        ConflictingError: that number was used, or there is no such person.
    """
    execute(
        connection,
        "insert into registry.attribute_change"
        " (person_id, number, attributes, spki, registrar, signature)"
        " values (%s, %s, %s, %s, %s, %s)",
        (person_id, number, list(attributes), spki, registrar32, signature),
    )


def attributes_of(connection: Connection, person_id: UUID) -> AttributeChange | None:
    """Return the change in force, which has the highest number, or None."""
    return row(
        connection,
        AttributeChange,
        "select person_id, number, attributes, spki, registrar, signature, at"
        " from registry.attribute_change where person_id = %s"
        " order by number desc limit 1",
        (person_id,),
    )
