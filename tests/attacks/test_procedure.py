"""Procedures: who may do what at custody's and the authority's desks."""

import asyncio
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.device import enrolled
from tests.support.site import Ward, until, ward

from sealward import clock
from sealward.analyst.person import Person
from sealward.bedside.credential import Keeper
from sealward.seal import cbor, grantorder, signing
from sealward.seal.curve import Hybrid
from sealward.seal.kem import Kem
from sealward.wire import desk
from sealward.wire.desk import DeskRefusedError

TODAY = int(clock.now().timestamp()) // 86_400


@pytest.fixture(scope="module")
def site() -> Iterator[Ward]:
    """Return a site."""
    with ward() as made:
        yield made


def ask(site: Ward, verb: str, args: Mapping[str, object], who: str = "custody") -> str:
    """Ask a desk, and return its refusal's word, or ``ok``."""
    try:
        asyncio.run(desk.call(site.site.root / who / "desk.sock", verb, args))
    except DeskRefusedError as error:
        return error.word
    return "ok"


def key() -> ec.EllipticCurvePrivateKey:
    """Return a key of nobody's."""
    return ec.generate_private_key(ec.SECP256R1())


def order(
    site: Ward, person: str, attributes: list[str], signer: object = None
) -> dict[str, object]:
    """Return an order that gives *person* *attributes*, by the real registrar."""
    path = site.site.root / "registrar/registrar.key"
    registrar = signing.from_private_pem(path.read_bytes())
    by = signer if isinstance(signer, ec.EllipticCurvePrivateKey) else registrar
    spki = signing.spki(key().public_key())
    from hashlib import sha256  # noqa: PLC0415 - only here

    return {
        "person": person,
        "number": 1,
        "attributes": attributes,
        "spki": spki,
        "registrar": sha256(signing.spki(registrar.public_key())).digest(),
        "signature": grantorder.sign(by, person, attributes, spki, 1),
    }


def new_person(site: Ward, subject: str) -> str:
    """Return a person without attributes."""
    path = site.site.root / "custody/desk.sock"
    answer = asyncio.run(desk.call(path, "person.add", {"subject": subject}))
    return str(answer["person"])


def test_nobody_binds_a_bed_in_anothers_name(site: Ward) -> None:
    """A gateway is attached by its own identity key's signature."""
    (patient,) = site.enrol(1)
    mine, other = key(), key()
    spki = signing.spki(mine.public_key())
    words = cbor.encode(["sealward/1 attach", spki, 0, patient.uid])
    asked = {"idevid": spki, "slot": 0, "uid": patient.uid}
    forged = {**asked, "signature": signing.sign(other, words)}
    assert ask(site, "gateway.attach", forged) == "forged"
    honest = {**asked, "signature": signing.sign(mine, words)}
    assert ask(site, "gateway.attach", honest) == "ok"
    assert ask(site, "gateway.attach", honest) == "conflicting"
    wrong = patient.uid[:-1] + ("0" if patient.uid[-1] != "0" else "1")
    words = cbor.encode(["sealward/1 attach", spki, 1, wrong])
    asked = {"idevid": spki, "slot": 1, "uid": wrong}
    asked["signature"] = signing.sign(mine, words)
    assert ask(site, "gateway.attach", asked) == "uid"


def test_a_gateway_gets_no_other_gateways_slip(site: Ward, tmp_path: Path) -> None:
    """Salts and slips are for the device whose alias it is, and for this moment."""
    mine, other = enrolled(site, tmp_path / "a"), enrolled(site, tmp_path / "b")
    keeper = Keeper(tmp_path / "a", site.site.root / "custody/desk.sock")

    def slip(alias: str, at: int) -> str:
        words = cbor.encode(["sealward/1 slip", alias, at])
        asked = {"idevid": keeper.spki, "alias": alias, "at": at}
        asked["signature"] = signing.sign(keeper.idevid, words)
        return ask(site, "slip.fetch", asked)

    now = int(clock.now().timestamp() * 1000)
    assert slip(other.alias, now) == "unknown"
    assert slip(mine.alias, now - 200_000) == "request"
    assert slip(mine.alias, now) == "ok"


def test_an_attribute_counts_by_a_registrars_word_alone(site: Ward) -> None:
    """Custody refuses an order that no registrar signed, and what nobody is granted."""
    person = new_person(site, "p1")
    forged = order(site, person, ["role:nurse", "ward:icu"], key())
    assert ask(site, "person.attributes", forged) == "forged"
    for attribute in ("bg:x", "t.day:2026-11-23", "role:king", "nobody:knows"):
        asked = order(site, person, [attribute])
        assert ask(site, "person.attributes", asked) == "ungrantable", attribute
    honest = order(site, person, ["role:nurse", "ward:icu"])
    assert ask(site, "person.attributes", honest) == "ok"
    assert ask(site, "person.attributes", honest) == "conflicting"


def test_a_row_that_custody_changes_moves_nobody(site: Ward) -> None:
    """The authority believes the registrar's signature, not the database."""
    folder = site.reader("mover", "role:nurse", "ward:surgery")
    root = site.site.root
    person = Person(folder, root / "custody/desk.sock", root / "authority/desk.sock")
    kem = Kem(Hybrid())

    def fetch() -> str:
        try:
            asyncio.run(person.fetch_key(kem, TODAY, TODAY, clock.now()))
        except DeskRefusedError as error:
            return error.word
        return "ok"

    assert fetch() == "ok"
    change = (
        "update registry.attribute_change set attributes = %s::text[]"
        " where person_id = %s::uuid"
    )
    site.rows(change, ["role:nurse", "ward:icu"], person.person)
    assert fetch() == "registrar"
    site.rows(change, ["role:nurse", "ward:surgery"], person.person)
    assert fetch() == "ok"
    rows = site.rows(
        "select count(*) from audit.entry where act = 'key.granted' and subject = %s",
        person.person,
    )
    assert rows == [(2,)]


def test_nobody_asks_in_anothers_name(site: Ward) -> None:
    """A key is for whoever holds the person's own; so is a salt."""
    folder = site.reader("owner", "role:nurse", "ward:icu")
    root = site.site.root
    person = Person(folder, root / "custody/desk.sock", root / "authority/desk.sock")
    at = int(clock.now().timestamp() * 1000)
    words = cbor.encode(["sealward/1 key", person.person, TODAY, TODAY, at])
    asked = {"person": person.person, "first": TODAY, "last": TODAY, "at": at}
    asked["signature"] = signing.sign(key(), words)
    assert ask(site, "key.grant", asked, "authority") == "forged"
    asked["at"] = at - 1
    assert ask(site, "key.grant", asked, "authority") == "forged"
    kem = Kem(Hybrid())
    granted = asyncio.run(person.fetch_key(kem, TODAY, TODAY, clock.now()))
    assert "role:nurse" in granted.attributes


def test_a_person_gets_no_day_that_has_not_begun(site: Ward) -> None:
    """Tomorrow's key and salts are for the evening, and next week's for nobody."""
    (patient,) = site.enrol(1)
    folder = site.reader("early", "role:nurse", "ward:icu")
    root = site.site.root
    person = Person(folder, root / "custody/desk.sock", root / "authority/desk.sock")
    kem = Kem(Hybrid())
    asyncio.run(person.fetch_key(kem, TODAY, TODAY, clock.now()))
    with pytest.raises(DeskRefusedError) as refused:
        asyncio.run(person.fetch_key(kem, TODAY + 7, TODAY + 8, clock.now()))
    assert refused.value.word == "days"
    rows = site.rows(
        "select patient_id from registry.patient where pseudonym = %s",
        patient.pseudonym,
    )
    whose = rows[0][0]
    with pytest.raises(DeskRefusedError) as refused:
        asyncio.run(
            person.fetch_salts(whose, TODAY, TODAY + 7, clock.now())  # type: ignore[arg-type]
        )
    assert refused.value.word == "span"
    salts = asyncio.run(
        person.fetch_salts(whose, TODAY, TODAY, clock.now())  # type: ignore[arg-type]
    )
    assert set(salts) == {TODAY}


def test_hostile_frames_do_not_hurt_the_desks(site: Ward) -> None:
    """Rubbish, a huge length, deep nesting and unknown verbs leave both desks well."""

    async def poke(who: str) -> None:
        path = site.site.root / who / "desk.sock"
        for frame in (
            os.urandom(64),
            struct.pack(">I", 0xFFFFFFFF) + b"x",
            struct.pack(">I", 5) + b"\x81" * 5,
            struct.pack(">I", 200_000) + b"\x81" * 200_000,
            b"",
        ):
            _, writer = await asyncio.open_unix_connection(path)
            writer.write(frame)
            await writer.drain()
            writer.close()

    for who in ("custody", "authority"):
        asyncio.run(poke(who))
    assert ask(site, "nothing.known", {}) == "request"
    assert ask(site, "patient.add", {"ward": 3}) == "request"
    assert ask(site, "credential.issue", {"idevid": "x" * 10_000}) == "request"
    injected = {"ward": "icu' or 1=1; --", "purposes": ["care"], "studies": []}
    assert ask(site, "patient.add", injected) == "policy"
    assert ask(site, "pins", {}, "authority") == "ok"
    until(lambda: site.counted("custody", "requests_refused") >= 3)


def test_the_audit_is_whole_after_all_that(site: Ward) -> None:
    """Every act at a desk leaves a row, and no chain is broken."""
    site.enrol(1)
    site.reader("audited", "role:nurse", "ward:icu")
    assert site.rows("select * from audit.first_break()") == []
    acts = {str(row[0]) for row in site.rows("select distinct act from audit.entry")}
    assert {"patient.add", "gateway.attach", "person.add", "person.attributes"} <= acts
