"""Patients, people, devices and the aliases of a day, as rows.

Custody alone writes here; what each other role may read is in the schema's roles.
A function that changes two rows does so in one transaction. All raise
``UnavailableError`` when PostgreSQL is away, and ``ConflictingError`` for a row that
breaks a rule: a name given twice, a bed bound twice, a credential of 55 hours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NewType
from uuid import UUID

from sealward.records import audit
from sealward.records.database import Connection, execute, row, rows, translated

DeviceNo = NewType("DeviceNo", int)
BindingId = NewType("BindingId", int)

Profile = Literal["gateway", "worker"]
DeviceState = Literal["enrolled", "active", "suspended", "decommissioned"]
PatientState = Literal["present", "discharged", "erased"]

CHANGED = "sealward_registry"  # channel: some credential changed, read them anew
REVOKED = "sealward_revoked"  # channel: the payload is the alias to close


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A patient, nameless: *consent* is the policy text of each new slip."""

    patient_id: UUID
    uid: str
    pseudonym: str  # 12 symbols, one for life
    placement: str
    state: PatientState
    consent: str
    consent_rev: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device by its long-lived identity key, DER SubjectPublicKeyInfo."""

    device_no: DeviceNo
    spki: bytes
    owner_org: str
    state: DeviceState


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One bed of a device and its patient; *ended* is None while it lasts."""

    binding_id: BindingId
    device_no: DeviceNo
    slot: int
    patient_id: UUID
    since: datetime
    ended: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """An alias as intake keeps it in memory; *pubkey65* is an uncompressed point."""

    cred: int
    alias: str
    epoch: int
    pubkey65: bytes
    profile: Profile
    valid_from: datetime
    valid_to: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRow:
    """All that decides whether an alias may connect, read in one query."""

    cred: int
    alias: str
    epoch: int
    pubkey65: bytes
    serial: bytes
    profile: Profile
    valid_from: datetime
    valid_to: datetime
    revoked_at: datetime | None
    binding_id: BindingId
    bound_from: datetime
    bound_to: datetime | None
    patient_id: UUID
    device_no: DeviceNo
    device_state: DeviceState
    device_spki: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bed:
    """An alias of a patient's day, with what a reader needs to verify and to group.

    *device_spki* is the identity key that readers compare with the one they pinned.
    """

    patient_id: UUID
    pseudonym: str
    binding_id: BindingId
    slot: int
    device_spki: bytes
    cred: int
    alias: str
    epoch: int
    pubkey65: bytes
    profile: Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A hint that a row changed. Any role may send one: believe the row alone."""

    channel: str
    payload: str


def add_patient(  # noqa: PLR0913 - a patient's row
    connection: Connection,
    patient_id: UUID,
    uid: str,
    consent: str,
    *,
    pseudonym: str,
    placement: str = "",
) -> None:
    """Add a patient; *pseudonym* is twelve random symbols, and never changes."""
    execute(
        connection,
        "insert into registry.patient (patient_id, uid, pseudonym, placement, consent)"
        " values (%s, %s, %s, %s, %s)",
        (patient_id, uid, pseudonym, placement, consent),
    )


_PATIENT = """
    select patient_id, uid, pseudonym, placement, state, consent, consent_rev
    from registry.patient"""


def patient(connection: Connection, patient_id: UUID) -> Patient | None:
    """Return the patient, or None."""
    return row(connection, Patient, _PATIENT + " where patient_id = %s", (patient_id,))


def patient_by_uid(connection: Connection, uid: str) -> Patient | None:
    """Return the patient of that opaque number, or None."""
    return row(connection, Patient, _PATIENT + " where uid = %s", (uid,))


def patients(connection: Connection) -> list[Patient]:
    """Return every patient that was not erased, by pseudonym."""
    where = " where state <> 'erased' order by pseudonym"
    return rows(connection, Patient, _PATIENT + where)


def set_consent(connection: Connection, patient_id: UUID, consent: str) -> int:
    """Replace the policy text and return its new revision; 0 if there is no patient."""
    found = execute(
        connection,
        "update registry.patient set consent = %s, consent_rev = consent_rev + 1"
        " where patient_id = %s returning consent_rev",
        (consent, patient_id),
    ).fetchone()
    return found[0] if found else 0


def set_placement(connection: Connection, patient_id: UUID, placement: str) -> None:
    """Say where the patient lies now; the next slip is compiled from it."""
    execute(
        connection,
        "update registry.patient set placement = %s where patient_id = %s",
        (placement, patient_id),
    )


def add_device(
    connection: Connection, spki_sha256: bytes, spki: bytes, owner_org: str
) -> DeviceNo:
    """Add an enrolled device and return its number.

    *spki* is its identity key, whose digest PostgreSQL compares with *spki_sha256*.
    """
    added = execute(
        connection,
        "insert into registry.device (spki_sha256, spki, owner_org)"
        " values (%s, %s, %s) returning device_no",
        (spki_sha256, spki, owner_org),
    ).fetchone()
    return DeviceNo(added[0] if added else 0)


def device_by_spki(connection: Connection, spki_sha256: bytes) -> Device | None:
    """Return the device whose identity key has that SHA-256, or None."""
    return row(
        connection,
        Device,
        "select device_no, spki, owner_org, state from registry.device"
        " where spki_sha256 = %s",
        (spki_sha256,),
    )


def set_device_state(
    connection: Connection, device_no: DeviceNo, state: DeviceState
) -> None:
    """Set a device's state; its aliases are revoked apart, one by one."""
    execute(
        connection,
        "update registry.device set state = %s,"
        " ended_at = case when %s = 'decommissioned' then now() end"
        " where device_no = %s",
        (state, state, device_no),
    )


def bind(
    connection: Connection,
    device_no: DeviceNo,
    slot: int,
    patient_id: UUID,
    since: datetime,
) -> BindingId:
    """Give the device's bed *slot* >= 0 to the patient from *since* on."""
    bound = execute(
        connection,
        "insert into registry.binding (device_no, slot, patient_id, during)"
        " values (%s, %s, %s, tstzrange(%s, null)) returning binding_id",
        (device_no, slot, patient_id, since),
    ).fetchone()
    return BindingId(bound[0] if bound else 0)


def end_binding(connection: Connection, binding_id: BindingId, until: datetime) -> None:
    """End a binding at *until*, after its beginning; its aliases are revoked apart."""
    execute(
        connection,
        "update registry.binding set during = tstzrange(lower(during), %s)"
        " where binding_id = %s",
        (until, binding_id),
    )


def bindings(connection: Connection, patient_id: UUID) -> list[Binding]:
    """Return the patient's bindings, past ones too, the oldest first."""
    return rows(
        connection,
        Binding,
        "select binding_id, device_no, slot, patient_id, lower(during) as since,"
        " upper(during) as ended from registry.binding"
        " where patient_id = %s order by since",
        (patient_id,),
    )


def add_credential(  # noqa: PLR0913, PLR0917 - a certificate's row
    connection: Connection,
    cred: int,
    binding_id: BindingId,
    alias: str,
    epoch: int,
    pubkey65: bytes,
    serial: bytes,
    not_before: datetime,
    not_after: datetime,
    profile: Profile = "gateway",
) -> None:
    """Add an alias: a binding's day.

    *cred* is random, 0 < cred < 2**63, so that packets stolen without the registry
    do not link two days. Readers hear of it on the channel ``CHANGED``.
    """
    execute(
        connection,
        "insert into registry.credential"
        " (cred, binding_id, alias, epoch, pubkey, serial, valid, profile)"
        " values (%s, %s, %s, %s, %s, %s, tstzrange(%s, %s), %s)",
        (
            *(cred, binding_id, alias, epoch, pubkey65, serial),
            *(not_before, not_after, profile),
        ),
    )


def credentials_live(
    connection: Connection, at: datetime | None = None
) -> list[Credential]:
    """Return the aliases that are not over at *at* (default: PostgreSQL's now).

    Revoked ones are among them, so that intake can refuse them by that word.
    """
    return rows(
        connection,
        Credential,
        "select cred, alias, epoch, pubkey as pubkey65, profile,"
        " lower(valid) as valid_from, upper(valid) as valid_to, revoked_at"
        " from registry.credential where upper(valid) > coalesce(%s, now())",
        (at,),
    )


def credential_by_alias(connection: Connection, alias: str) -> AdmissionRow | None:
    """Return all that decides whether *alias* may connect, or None if unknown."""
    return row(
        connection,
        AdmissionRow,
        "select c.cred, c.alias, c.epoch, c.pubkey as pubkey65, c.serial, c.profile,"
        " lower(c.valid) as valid_from, upper(c.valid) as valid_to, c.revoked_at,"
        " b.binding_id, lower(b.during) as bound_from, upper(b.during) as bound_to,"
        " b.patient_id, d.device_no, d.state as device_state, d.spki as device_spki"
        " from registry.credential c join registry.binding b using (binding_id)"
        " join registry.device d using (device_no) where c.alias = %s",
        (alias,),
    )


def revoke(connection: Connection, alias: str, actor: str) -> bool:
    """Revoke *alias*: row, audit entry and notice on ``REVOKED`` in one transaction.

    False if there is no such alias or it was revoked before; nothing changes then.
    """
    with translated(), connection.transaction():
        revoked = execute(
            connection,
            "update registry.credential set revoked_at = now()"
            " where alias = %s and revoked_at is null",
            (alias,),
        ).rowcount
        if revoked:
            audit.append(connection, actor, "credential.revoke", alias, {})
    return revoked == 1


def beds(
    connection: Connection,
    *,
    patients: Sequence[UUID] | None = None,
    since_epoch: int | None = None,
) -> list[Bed]:
    """Return aliases with patient and keys, for readers: the analyst and ward.

    Only of *patients* and from the day *since_epoch* on, if given. An alias is its
    binding's, so a rebound bed never names its neighbour. By patient and epoch.
    """
    return rows(
        connection,
        Bed,
        "select b.patient_id, p.pseudonym, b.binding_id, b.slot, d.spki as device_spki,"
        " c.cred, c.alias, c.epoch, c.pubkey as pubkey65, c.profile"
        " from registry.credential c join registry.binding b using (binding_id)"
        " join registry.device d using (device_no)"
        " join registry.patient p using (patient_id)"
        " where (%(patients)s::uuid[] is null or b.patient_id = any(%(patients)s))"
        " and c.epoch >= coalesce(%(since)s, c.epoch)"
        " order by b.patient_id, c.epoch, c.cred",
        {
            "patients": None if patients is None else list(patients),
            "since": since_epoch,
        },
    )


def listen(connection: Connection) -> None:
    """Ask for the notices of both channels, on a connection kept for them."""
    for query in (f"listen {CHANGED}", f"listen {REVOKED}"):
        execute(connection, query)


def notifications(
    connection: Connection, timeout: float | None = None
) -> Iterator[Notice]:
    """Yield notices as they come; end after *timeout* seconds, None never.

    Call ``listen`` first, and read the rows once after it: what changed before is
    not told.
    """
    with translated():
        for notify in connection.notifies(timeout=timeout):
            yield Notice(channel=notify.channel, payload=notify.payload)
