"""Loss of privacy: with all that a server holds, and more, nothing opens."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import pytest
from tests.support.site import Ward, until, ward

from sealward import clock
from sealward.analyst.person import Person
from sealward.errors import SealwardError, UnreadableError
from sealward.packet.profile import BED_1
from sealward.records import database, packets, registry
from sealward.records.registry import Bed
from sealward.seal import envelope, keys, opening, signing
from sealward.seal.attributekey import AttributeKey
from sealward.seal.curve import Hybrid
from sealward.seal.kem import Kem
from sealward.wire.desk import DeskRefusedError

KEM = Kem(Hybrid())
TODAY = int(clock.now().timestamp()) // 86_400


@dataclass
class Day:
    """A site after some packets: what an attacker may have got hold of."""

    site: Ward
    bed: Bed
    record: bytes  # the key packet
    packet: bytes  # a vitals packet
    readers: Mapping[str, Path]

    def person(self, name: str) -> Person:
        """Return the reader called *name*."""
        root = self.site.site.root
        folder = self.readers[name]
        return Person(folder, root / "custody/desk.sock", root / "authority/desk.sock")

    def key(self, name: str) -> AttributeKey:
        """Return *name*'s attribute key of today, granted by the real authority."""
        person = self.person(name)
        return asyncio.run(person.fetch_key(KEM, TODAY, TODAY, clock.now()))

    def salts(self, name: str, patient: UUID | None = None) -> dict[int, bytes]:
        """Return the day salts that custody gives to *name*."""
        whose = patient or self.bed.patient_id
        person = self.person(name)
        return asyncio.run(person.fetch_salts(whose, TODAY, TODAY, clock.now()))

    def open(
        self, key: AttributeKey, salts: Mapping[int, bytes], **other: object
    ) -> bytes:
        """Return the vitals packet's plaintext, opened with *key* and *salts*."""
        public = signing.from_point65(self.bed.pubkey65)
        outside = envelope.read(self.record)
        envelope.verify(outside, self.bed.alias, public)
        known: dict[str, object] = {
            "pseudonym": self.bed.pseudonym,
            "profile_hash": BED_1.digest(),
            "ldevid_spki": signing.spki(public),
            "pinned_idevid": self.bed.device_spki,
        }
        opened = opening.open_record(
            KEM,
            opening.load(KEM, key),
            outside.body,
            outer=(self.bed.alias, outside.epoch, keys.LIVE, outside.kid),
            salts=salts,
            **(known | other),  # type: ignore[arg-type]
        )
        packet = envelope.read(self.packet)
        return opening.open_packet(opened, packet, self.bed.alias)


@pytest.fixture(scope="module")
def day() -> Iterator[Day]:
    """Return a day of one patient in intensive care, and four readers."""
    with ward() as site:
        (patient, other) = site.enrol(2)
        site.gateway("gateway-1", patient.gateway)
        readers = {
            "entitled": ("role:clinician", "ward:icu"),
            "elsewhere": ("role:clinician", "ward:surgery"),
            "porter": ("ward:icu", "site:main"),
            "researcher": ("role:researcher", "study:x"),
        }
        folders = {name: site.reader(name, *what) for name, what in readers.items()}
        url = site.site.database.url("analyst") if site.site.database else ""
        until(lambda: len(site.rows("select seq from store.packet where kind=0")) >= 2)
        with database.connect(url) as connection:
            (bed,) = registry.beds(connection)
            (record, *_) = packets.key_records(connection, [bed.cred], [TODAY])
            packet = next(packets.packets(connection, [bed.cred], kinds=[0]))
        assert other.pseudonym != bed.pseudonym
        yield Day(site, bed, record.body, packet.body, folders)


def test_an_entitled_reader_opens(day: Day) -> None:
    """The control of all that follows: the right key and the right salt open."""
    assert day.open(day.key("entitled"), day.salts("entitled"))


@pytest.mark.parametrize("name", ["elsewhere", "porter", "researcher"])
def test_attributes_that_do_not_satisfy_open_nothing(day: Day, name: str) -> None:
    """Given the salt, the record and the packet, the key alone decides."""
    salts = day.salts("entitled")
    with pytest.raises(opening.UnsatisfiedError) as closed:
        day.open(day.key(name), salts)
    assert "ward:icu" in str(closed.value)
    assert day.open(day.key("entitled"), salts)


@pytest.mark.parametrize("name", ["elsewhere", "porter", "researcher"])
def test_custody_gives_them_no_salt_either(day: Day, name: str) -> None:
    """The server refuses besides, and writes it down."""
    with pytest.raises(DeskRefusedError) as refused:
        day.salts(name)
    assert refused.value.word == "unentitled"
    person = day.person(name).person
    rows = day.site.rows(
        "select count(*) from audit.entry where act = 'salt.refused' and actor = %s",
        person,
    )
    assert int(str(rows[0][0])) >= 1
    assert day.salts("entitled")


def test_two_who_pool_their_keys_open_nothing_that_neither_may(day: Day) -> None:
    """One is a clinician, one is of the ward; together they are still not one."""
    clinician, porter = day.key("elsewhere"), day.key("porter")
    salts = day.salts("entitled")
    union = {**clinician.components, **porter.components}
    assert {"role:clinician", "ward:icu"} <= union.keys()
    for base in (clinician, porter):
        for mine in (clinician, porter):
            components = {**union, **mine.components}
            pooled = replace(base, components=components)
            with pytest.raises(UnreadableError) as closed:
                day.open(pooled, salts)
            assert closed.value.reason == "unreadable"
    assert day.open(day.key("entitled"), salts)


def test_a_key_relabelled_for_today_opens_nothing(day: Day) -> None:
    """An attribute is a point: calling it by another name does not move it."""
    key = day.key("porter")
    components = dict(key.components)
    components["role:clinician"] = components.pop("site:main")
    with pytest.raises(UnreadableError):
        day.open(replace(key, components=components), day.salts("entitled"))


def test_without_the_days_salt_the_best_key_opens_nothing(day: Day) -> None:
    """No salt, another day's, another patient's, or rubbish: closed before any work."""
    key, good = day.key("entitled"), day.salts("entitled")
    for salts in ({}, {TODAY: bytes(32)}, {TODAY + 1: good[TODAY]}):
        with pytest.raises(keys.SaltError):
            day.open(key, salts)
    rows = day.site.rows(
        "select patient_id from registry.patient where pseudonym <> %s",
        day.bed.pseudonym,
    )
    other = rows[0][0]
    assert isinstance(other, UUID)
    with pytest.raises(keys.SaltError):
        day.open(key, day.salts("entitled", other))
    assert day.open(key, good)


def test_the_servers_secrets_open_nothing(day: Day) -> None:
    """Custody's salts, every role's database and the registry's word are no key."""
    salts = day.salts("entitled")
    root = day.site.site.root
    found = b"".join(
        path.read_bytes()
        for name in ("custody", "intake", "ward", "analyst", "broker", "postgres")
        for path in (root / name).rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    share = (root / "authority/share").read_bytes()
    assert share not in found
    key = day.key("entitled")
    for secret in (key.k, key.d0, *key.components.values()):
        assert secret not in found
        assert secret.hex().encode() not in found
    empty = replace(key, components={})
    with pytest.raises(opening.UnsatisfiedError):
        day.open(empty, salts)


def test_another_patients_name_cannot_be_put_on_a_bed(day: Day) -> None:
    """The pseudonym stands inside the sealed record: a lying table is found out."""
    key, salts = day.key("entitled"), day.salts("entitled")
    with pytest.raises(opening.OtherPatientError):
        day.open(key, salts, pseudonym="0" * 12)
    stranger = signing.spki(signing.from_point65(day.bed.pubkey65))
    with pytest.raises(opening.StrangerError):
        day.open(key, salts, pinned_idevid=stranger)
    assert day.open(key, salts)


def test_no_vital_no_uid_and_no_policy_lies_open_anywhere(day: Day) -> None:
    """What is at rest and in logs names no patient but in the registry's own tables."""
    root = day.site.site.root
    uids = [str(row[0]) for row in day.site.rows("select uid from registry.patient")]
    logs = b"".join(path.read_bytes() for path in (root / "log").glob("*.log"))
    logs += b"".join(path.read_bytes() for path in root.glob("*/metrics.prom"))
    store = b"".join(
        path.read_bytes() for path in (root / "broker").rglob("*") if path.is_file()
    )
    assert day.bed.alias.encode() in store, "the store holds what was sent"
    for uid in uids:
        assert uid.encode() not in logs
        assert uid.encode() not in store
    assert day.bed.pseudonym.encode() not in store + logs
    for word in (b"role:clinician", b"ward:icu", b"t.day:"):
        assert word not in store
        assert word not in day.record + day.packet


def test_a_refusal_has_no_other_face_than_its_word(day: Day) -> None:
    """Whatever is wrong with a capsule, the reader learns one thing: it is closed."""
    key, salts = day.key("entitled"), day.salts("entitled")
    outside = envelope.read(day.record)
    words = set()
    for at in range(len(outside.body) - 900, len(outside.body), 37):
        body = bytearray(outside.body)
        body[at] ^= 1
        changed = replace_body(day, bytes(body))
        try:
            changed.open(key, salts)
        except SealwardError as error:
            words.add(error.reason)
        else:
            pytest.fail("a changed record opened")
    assert "unreadable" in words


def replace_body(day: Day, body: bytes) -> "Unsigned":
    """Return *day* whose record has another *body*, past the signature's check."""
    return Unsigned(day.site, day.bed, body, day.packet, day.readers)


class Unsigned(Day):
    """A day whose record is opened without its signature being looked at."""

    def open(
        self, key: AttributeKey, salts: Mapping[int, bytes], **other: object
    ) -> bytes:
        """Open the bare record body."""
        assert not other
        packet = envelope.read(self.packet)
        public = signing.from_point65(self.bed.pubkey65)
        opened = opening.open_record(
            KEM,
            opening.load(KEM, key),
            self.record,
            outer=(self.bed.alias, packet.epoch, keys.LIVE, packet.kid),
            salts=salts,
            pseudonym=self.bed.pseudonym,
            profile_hash=BED_1.digest(),
            ldevid_spki=signing.spki(public),
            pinned_idevid=self.bed.device_spki,
        )
        return opening.open_packet(opened, packet, self.bed.alias)
