"""The desks of custody and of the authority serve whom a request is signed by."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from tests.support.attacker import secret
from tests.support.intruder import Gateway, Reader, Stage, refusals, request_of

from sealward import clock
from sealward.custody.credentials import epoch_of
from sealward.seal import cbor, grantorder, signing

Args = Mapping[str, Any]


def moment() -> int:
    """Return the time in ms since 1970."""
    return int(clock.now().timestamp() * 1000)


# --- gateways ----------------------------------------------------------------


def issue(by: Gateway, /, **changes: object) -> Args:
    """Return *by*'s request for a credential, with *changes* made after its signing."""
    request, at = request_of(secret()), moment()
    digest = sha256(request).digest()
    asked = {
        "idevid": by.keeper.spki,
        "slot": 0,
        "request": request,
        "at": at,
        "signature": by.signed("sealward/1 credential", digest, 0, at),
    }
    return {**asked, **changes}


def slip(by: Gateway, alias: str, /, **changes: object) -> Args:
    """Return *by*'s request for the slip of *alias*, with *changes* as above."""
    at = moment()
    asked = {
        "idevid": by.keeper.spki,
        "alias": alias,
        "at": at,
        "signature": by.signed("sealward/1 slip", alias, at),
    }
    return {**asked, **changes}


def attach(by: Gateway, slot: int, uid: str, /, **changes: object) -> Args:
    """Return *by*'s request to stand at a patient's bed, with *changes* as above."""
    asked = {
        "idevid": by.keeper.spki,
        "slot": slot,
        "uid": uid,
        "signature": by.signed("sealward/1 attach", by.keeper.spki, slot, uid),
    }
    return {**asked, **changes}


def test_a_gateway_asks_for_itself_alone(
    stage: Stage, own: Gateway, thief: Gateway
) -> None:
    """Each is refused by the word of what is wrong, which custody counts."""
    nobody = Gateway(keeper=stage.keeper(), bed=own.bed, uid=own.uid)
    good = request_of(secret())
    unsigned = good[:-1] + bytes([good[-1] ^ 1])  # its own key did not sign this
    at = moment()
    by_thief = thief.signed("sealward/1 credential", sha256(unsigned).digest(), 0, at)
    theirs = {"idevid": own.keeper.spki}
    tries: list[tuple[str, Args, str]] = [
        ("slip.fetch", slip(thief, own.alias), "unknown"),
        ("slip.fetch", slip(thief, own.alias, **theirs), "forged"),
        ("slip.fetch", slip(own, own.alias, alias=thief.alias), "forged"),
        ("slip.fetch", slip(nobody, own.alias), "unknown"),
        ("credential.issue", issue(thief, **theirs), "forged"),
        ("credential.issue", issue(own, request=good), "forged"),
        ("credential.issue", issue(own, slot=1), "forged"),
        ("credential.issue", issue(nobody), "unbound"),
        (
            "credential.issue",
            issue(thief, request=unsigned, at=at, signature=by_thief),
            "csr",
        ),
    ]
    counted = refusals("requests", *(word for _, _, word in tries))
    with stage.counts("custody", *counted):
        for verb, args, word in tries:
            assert stage.ask(verb, args) == word
    assert stage.ask("slip.fetch", slip(own, own.alias)) == ""
    assert stage.ask("credential.issue", issue(own)) == ""


def test_a_bed_has_one_gateway(stage: Stage, own: Gateway, thief: Gateway) -> None:
    """What is bound stays bound, and an order is whole or nothing."""
    tries: list[tuple[Args, str]] = [
        (attach(own, 0, own.uid), "conflicting"),
        (attach(thief, 2, own.uid, idevid=own.keeper.spki), "forged"),
        (attach(thief, 2, own.uid, slot=3), "forged"),
        (attach(thief, 2, own.uid, uid=thief.uid), "forged"),
        (attach(thief, 2, "0123456789ABCDEF"), "uid"),
    ]
    with stage.counts("custody", *refusals("requests", *(word for _, word in tries))):
        for args, word in tries:
            assert stage.ask("gateway.attach", args) == word
    assert stage.ask("gateway.attach", attach(thief, 2, own.uid)) == ""


# --- readers -----------------------------------------------------------------


@pytest.fixture(scope="module")
def nurse(stage: Stage) -> Reader:
    """Return a reader who may read the patients of the ward."""
    return stage.reader("role:nurse", "ward:icu")


@pytest.fixture(scope="module")
def passer(stage: Stage) -> Reader:
    """Return a reader of another ward."""
    return stage.reader("role:nurse", "ward:surgery")


def test_salts_are_for_those_whom_the_policy_names(
    stage: Stage, own: Gateway, nurse: Reader, passer: Reader
) -> None:
    """And who is refused stands in the audit."""
    patient, now = stage.patient(own), clock.now()
    today = epoch_of(now)
    asks = nurse.asks(patient, today, today, now)
    as_nurse = passer.asks(patient, today, today, now, person=nurse.person)
    tries: list[tuple[Args, str]] = [
        (passer.asks(patient, today, today, now), "unentitled"),
        ({**asks, "signature": bytes(64)}, "forged"),
        (as_nurse, "forged"),
        (nurse.asks(patient, today, today + 2, now), "span"),
        (nurse.asks(patient, today - 400, today, now), "span"),
        (nurse.asks(patient, today, today - 1, now), "span"),
    ]
    with stage.counts("custody", *refusals("requests", *(word for _, word in tries))):
        for args, word in tries:
            assert stage.ask("salt.read", args) == word
    assert stage.audited("salt.refused", patient) == [{"days": 1}]
    assert stage.ask("salt.read", asks) == ""
    assert len(stage.audited("salt.refused", patient)) == 1


def order(
    stage: Stage, person: str, spki: bytes, *attributes: str, number: int
) -> dict[str, Any]:
    """Return the registrar's own word that *person* has *attributes*."""
    pem = (stage.root / "registrar/registrar.key").read_bytes()
    registrar = signing.from_private_pem(pem)
    return {
        "person": person,
        "number": number,
        "attributes": list(attributes),
        "spki": spki,
        "registrar": sha256(signing.spki(registrar.public_key())).digest(),
        "signature": grantorder.sign(registrar, person, attributes, spki, number),
    }


def test_attributes_are_a_registrars_to_give(stage: Stage, passer: Reader) -> None:
    """And some are nobody's: break-glass and days are granted otherwise."""
    who, spki = passer.person, signing.spki(passer.key.public_key())
    good = order(stage, who, spki, "role:nurse", "ward:surgery", number=2)
    wish = ("role:clinician", "ward:icu")
    wanted = {**good, "attributes": list(wish)}
    self_made = grantorder.sign(passer.key, who, wish, spki, 2)
    own_key = sha256(spki).digest()
    tries: list[tuple[Args, str]] = [
        (wanted, "forged"),
        ({**wanted, "signature": self_made}, "forged"),
        ({**wanted, "signature": self_made, "registrar": own_key}, "request"),
        ({**good, "number": 3}, "forged"),
        ({**good, "spki": signing.spki(secret().public_key())}, "forged"),
        ({**good, "person": str(uuid4())}, "forged"),
        (order(stage, who, spki, "bg:7g4m2qk9x0tb", number=2), "ungrantable"),
        (order(stage, who, spki, "t.day:2026-11-23", number=2), "ungrantable"),
        (order(stage, who, spki, "role:director", number=2), "ungrantable"),
        (order(stage, who, spki, "role:nurse", number=1), "conflicting"),
    ]
    with stage.counts("custody", *refusals("requests", *(word for _, word in tries))):
        for args, word in tries:
            assert stage.ask("person.attributes", args) == word
    assert stage.ask("person.attributes", good) == ""


def asks_key(by: Reader, of: Reader, at: int) -> Args:
    """Return *by*'s request, made at *at* ms, for *of*'s key of today."""
    today = epoch_of(clock.now())
    words = cbor.encode(["sealward/1 key", of.person, today, today, at])
    return {
        "person": of.person,
        "first": today,
        "last": today,
        "at": at,
        "signature": signing.sign(by.key, words),
    }


def test_a_key_is_granted_to_whom_it_names(
    stage: Stage, nurse: Reader, passer: Reader
) -> None:
    """The authority seals it to the key that the registrar signed; none other asks."""
    now, granted = moment(), len(stage.granted(nurse.person))
    nobody = Reader(person=str(uuid4()), key=passer.key, folder=passer.folder)
    for args, word in (
        (asks_key(passer, nurse, now), "forged"),
        (asks_key(nurse, nurse, now - 121_000), "person"),
        (asks_key(nobody, nobody, now), "person"),
    ):
        assert stage.ask("key.grant", args, "authority") == word
    assert len(stage.granted(nurse.person)) == granted
    assert stage.ask("key.grant", asks_key(nurse, nurse, now), "authority") == ""
    assert len(stage.granted(nurse.person)) == granted + 1


def test_a_changed_row_of_the_database_grants_nothing(stage: Stage) -> None:
    """Whoever owns the database owns no registrar's key: the authority looks there."""
    reader = stage.reader("role:nurse", "ward:surgery")
    assert stage.ask("key.grant", asks_key(reader, reader, moment()), "authority") == ""
    granted = len(stage.granted(reader.person))
    attributes = "update registry.attribute_change set attributes = %s"
    inserted = (
        "insert into registry.attribute_change select person_id, number + 1, %s, spki,"
        " registrar, signature from registry.attribute_change"
    )
    whose = " where person_id = %s"
    wish, had = ["role:clinician", "ward:icu"], ["role:nurse", "ward:surgery"]
    for query in (attributes + whose, inserted + whose):
        stage.ward.rows(query + " returning 1", wish, reader.person)
        asks = asks_key(reader, reader, moment())
        assert stage.ask("key.grant", asks, "authority") == "registrar"
        assert len(stage.granted(reader.person)) == granted
        stage.ward.rows(attributes + whose + " returning 1", had, reader.person)
    stage.ward.rows(
        "delete from registry.attribute_change where person_id = %s and number = 2"
        " returning 1",
        reader.person,
    )
    assert stage.ask("key.grant", asks_key(reader, reader, moment()), "authority") == ""
