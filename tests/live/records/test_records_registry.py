"""The registry says whose an alias is, and tells of it when that changes."""

from __future__ import annotations

import secrets
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from sealward.records import audit, database, people, registry, sessions, vault
from sealward.records.database import ConflictingError
from sealward.records.registry import CHANGED, REVOKED, Notice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.records.conftest import Bed, Ward


@pytest.fixture
def custody(ward: Ward) -> Iterator[database.Connection]:
    """Return custody's connection."""
    with ward.connect("custody") as connection:
        yield connection


def test_one_query_tells_all_that_admission_asks(
    bed: Bed, custody: database.Connection
) -> None:
    """Device, binding, certificate and key of an alias; nothing of an unknown one."""
    row = registry.credential_by_alias(custody, bed.alias)
    assert row is not None
    assert (row.cred, row.serial, row.pubkey65) == (bed.cred, bed.serial, bed.pubkey65)
    assert (row.device_state, row.device_spki) == ("enrolled", bed.spki)
    assert (row.patient_id, row.bound_to, row.revoked_at) == (
        bed.patient_id,
        None,
        None,
    )
    assert row.valid_to - row.valid_from == timedelta(hours=54)
    assert registry.credential_by_alias(custody, "a" * 26) is None


def test_intake_reads_the_aliases_that_are_not_over(ward: Ward, bed: Bed) -> None:
    """It keeps them in memory, revoked ones too, and never learns whose they are."""
    with ward.connect("intake") as intake:
        live = registry.credentials_live(intake, ward.noon)
        over = registry.credentials_live(intake, ward.noon + timedelta(days=2))
    (mine,) = (c for c in live if c.alias == bed.alias)
    assert (mine.cred, mine.epoch, mine.profile) == (bed.cred, ward.epoch, "gateway")
    assert bed.alias not in {c.alias for c in over}


def test_readers_learn_key_and_patient_of_an_alias(ward: Ward) -> None:
    """Two beds of one gateway stay apart: each alias is its own binding's."""
    first = ward.admit(slot=0)
    second = ward.admit(slot=1, beside=first)
    for role in ("analyst", "ward"):
        with ward.connect(role) as reader:
            (one,) = registry.beds(reader, patients=[first.patient_id])
            (two,) = registry.beds(reader, patients=[second.patient_id])
            assert not registry.beds(
                reader, patients=[first.patient_id], since_epoch=ward.epoch + 1
            )
        assert (one.cred, one.pubkey65, one.pseudonym) == (
            first.cred,
            first.pubkey65,
            first.pseudonym,
        )
        assert one.device_spki == two.device_spki == first.spki
        assert (one.slot, two.slot) == (0, 1)


def test_a_bed_has_one_patient_at_a_time(
    ward: Ward, bed: Bed, custody: database.Connection
) -> None:
    """A second one is refused until the first binding ends; then it may follow."""
    other = ward.admit()
    with pytest.raises(ConflictingError):
        registry.bind(custody, bed.device_no, 0, other.patient_id, ward.noon)
    registry.end_binding(custody, bed.binding_id, ward.noon)
    registry.bind(custody, bed.device_no, 0, other.patient_id, ward.noon)
    (ended,) = registry.bindings(custody, bed.patient_id)
    assert ended.ended == ward.noon


def test_one_gateway_holds_two_hundred_beds(
    ward: Ward, bed: Bed, custody: database.Connection
) -> None:
    """Each slot is a bed of its own."""
    for slot in range(1, 200):
        registry.bind(custody, bed.device_no, slot, bed.patient_id, ward.noon)


def test_no_alias_outlives_54_hours_or_lacks_an_end(
    ward: Ward, bed: Bed, custody: database.Connection
) -> None:
    """The schema keeps custody from certifying for longer."""
    for end in (ward.noon + timedelta(hours=55), None):
        with pytest.raises(ConflictingError):
            database.execute(
                custody,
                "insert into registry.credential"
                " (cred, binding_id, alias, epoch, pubkey, serial, valid)"
                " values (1, %s, %s, 1, %s, 'x', tstzrange(%s, %s))",
                (bed.binding_id, "a" * 26, bed.pubkey65, ward.noon, end),
            )


def test_revoking_is_a_row_an_entry_and_a_notice(
    ward: Ward, bed: Bed, custody: database.Connection
) -> None:
    """All in one transaction, and only once."""
    with ward.connect("custody") as worker, ward.connect("auditor") as auditor:
        registry.listen(worker)
        assert registry.revoke(custody, bed.alias, "somebody")
        assert not registry.revoke(custody, bed.alias, "somebody")
        heard = list(registry.notifications(worker, timeout=0.2))
        assert Notice(channel=REVOKED, payload=bed.alias) in heard
        assert Notice(channel=CHANGED, payload="") in heard
        assert len([n for n in heard if n.payload == bed.alias]) == 1
        written = audit.entries(auditor, "sealward_custody", 50)
    row = registry.credential_by_alias(custody, bed.alias)
    assert row is not None
    assert row.revoked_at is not None
    assert [e.act for e in written if e.subject == bed.alias] == ["credential.revoke"]


def test_a_new_alias_is_announced(ward: Ward, bed: Bed) -> None:
    """Intake hears that it must read again, and not what."""
    with ward.connect("intake") as intake, ward.connect("custody") as custody:
        registry.listen(intake)
        ward.certify(custody, bed, secrets.randbits(62) + 1, secrets.token_hex(13))
        heard = set(registry.notifications(intake, timeout=0.2))
    assert heard == {Notice(channel=CHANGED, payload="")}


def test_late_packets_are_tried_against_the_same_bed(ward: Ward, bed: Bed) -> None:
    """Two days of one bed are the same binding; the neighbour's is not."""
    neighbour, tomorrow = ward.admit(slot=1, beside=bed), secrets.token_hex(13)
    with ward.connect("custody") as custody:
        ward.certify(custody, bed, secrets.randbits(62) + 1, tomorrow)
    with ward.connect("intake") as intake:
        for other, same in ((tomorrow, True), (neighbour.alias, False)):
            found = database.execute(
                intake, "select registry.same_binding(%s, %s)", (bed.alias, other)
            ).fetchone()
            assert found == (same,)


def test_sessions_come_and_go(bed: Bed, custody: database.Connection) -> None:
    """One row a connection; the same number again is the newer connection."""
    server = secrets.token_hex(4)
    for client in (bed.alias, f"{bed.alias}~coc"):
        sessions.save_session(custody, server, 7, client, bed.cred)
    (found,) = sessions.sessions(custody, bed.alias)
    assert (found.cid, found.client_id) == (7, f"{bed.alias}~coc")
    sessions.drop_session(custody, server, 8)
    assert sessions.sessions(custody, bed.alias)
    sessions.drop_server(custody, server)
    assert sessions.sessions(custody, bed.alias) == []


def test_a_device_is_its_key(custody: database.Connection) -> None:
    """A digest of another key is refused, and so is the same device again."""
    spki = secrets.token_bytes(91)
    device_no = registry.add_device(custody, sha256(spki).digest(), spki, "org")
    registry.set_device_state(custody, device_no, "active")
    found = registry.device_by_spki(custody, sha256(spki).digest())
    assert found is not None
    assert (found.device_no, found.state, found.spki) == (device_no, "active", spki)
    for digest in (bytes(32), sha256(spki).digest()):
        with pytest.raises(ConflictingError):
            registry.add_device(custody, digest, spki, "org")


def test_consent_has_revisions(bed: Bed, custody: database.Connection) -> None:
    """Each change of the policy text is a new number, for the next slip."""
    assert registry.set_consent(custody, bed.patient_id, "role:nurse") == 2
    registry.set_placement(custody, bed.patient_id, "icu/3")
    found = registry.patient(custody, bed.patient_id)
    assert found is not None
    assert (found.consent, found.consent_rev) == ("role:nurse", 2)
    assert (found.placement, found.pseudonym) == ("icu/3", bed.pseudonym)
    assert registry.patient_by_uid(custody, found.uid) == found
    assert found in registry.patients(custody)
    assert registry.set_consent(custody, uuid4(), "true") == 0


def test_the_highest_attribute_change_is_in_force(
    ward: Ward, custody: database.Connection
) -> None:
    """The authority reads it; a number is used once."""
    person_id, subject = uuid4(), secrets.token_hex(4)
    people.add_person(custody, person_id, subject, "N. N.")
    for number in (1, 2):
        people.add_attribute_change(
            custody,
            *(person_id, number, [f"role:{number}"], b"spki", bytes(32), b"sig"),
        )
    with pytest.raises(ConflictingError):
        people.add_attribute_change(
            custody, person_id, 2, ["role:all"], b"spki", bytes(32), b"sig"
        )
    with ward.connect("authority") as authority:
        change = people.attributes_of(authority, person_id)
        found = people.person_by_subject(authority, subject)
    assert change is not None
    assert (change.number, change.attributes) == (2, ["role:2"])
    assert found is not None
    assert (found.person_id, found.state) == (person_id, "active")
    assert people.attributes_of(custody, uuid4()) is None


def test_a_salt_is_never_read_without_an_entry(
    ward: Ward, bed: Bed, custody: database.Connection
) -> None:
    """The audit says who asked, why and for which days."""
    vault.add_salt(custody, bed.patient_id, 3, bytes(40))
    assert vault.read_salt(custody, bed.patient_id, 1, 2, "p1", "care") == (
        3,
        bytes(40),
    )
    with ward.connect("auditor") as auditor:
        entry = audit.entries(auditor, "sealward_custody", 1)[0]
    assert (entry.actor, entry.act) == ("p1", "salt.read")
    assert entry.subject == str(bed.patient_id)
    assert entry.detail == {"why": "care", "first": 1, "last": 2}


def test_an_erased_patient_stays_erased(bed: Bed, custody: database.Connection) -> None:
    """The salt is gone, the tombstone stays, and no new salt is taken."""
    vault.add_salt(custody, bed.patient_id, 3, bytes(40))
    vault.erase(custody, bed.patient_id, "somebody")
    vault.erase(custody, bed.patient_id, "somebody")
    assert vault.read_salt(custody, bed.patient_id, 1, 2, "p1", "care") is None
    assert bed.patient_id in {t.patient_id for t in vault.tombstones(custody)}
    found = registry.patient(custody, bed.patient_id)
    assert found is not None
    assert found.state == "erased"
    with pytest.raises(ConflictingError):
        vault.add_salt(custody, bed.patient_id, 3, bytes(40))


def test_a_salt_that_is_not_wrapped_is_refused(
    bed: Bed, custody: database.Connection
) -> None:
    """Thirty-two bytes would be the salt itself; a wrapped one has forty."""
    with pytest.raises(ConflictingError):
        vault.add_salt(custody, bed.patient_id, 3, bytes(32))
