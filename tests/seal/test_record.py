"""A key record is rebuilt byte for byte, and refused for any reader it is not for."""

import json
from pathlib import Path
from typing import Any, NoReturn

import cbor2
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from sealward.errors import RefusalError, SealwardError, UnreadableError
from sealward.seal import cbor, keys, policy, record
from sealward.seal.attributekey import AttributeKey
from sealward.seal.cbor import MalformedError, TrailingError
from sealward.seal.curve import Hybrid
from sealward.seal.granting import grant
from sealward.seal.kem import Kem
from sealward.seal.keys import SaltError
from sealward.seal.opening import (
    LoadedKey,
    OtherPatientError,
    OtherProfileError,
    StrangerError,
    UnsatisfiedError,
    load,
    open_record,
)
from sealward.seal.record import Inside, MismatchError, Name, StaleError
from sealward.seal.signing import ForgedError

FOLDER = Path(__file__).parents[1] / "vectors"
V = json.loads((FOLDER / "record/record.json").read_text(encoding="utf-8"))
ALPHA = int(json.loads((FOLDER / "kem/kem.json").read_text("utf-8"))["alpha"], 16)
h = bytes.fromhex
NAME = Name(alias=V["alias"], epoch=V["epoch"], purpose=V["purpose"], rid=h(V["rid"]))
PREVIOUS = (V["previous"][0], h(V["previous"][1]), V["previous"][2])
CLINICAL = V["records"]["clinical"]
WORDS = {  # each refusal of the vectors, and the one word for it
    "record names another alias": MismatchError,
    "record names another epoch": MismatchError,
    "record names another purpose": MismatchError,
    "outer kid is not of this rid": MismatchError,
    "kid in the record is not of its rid": MismatchError,
    "day salt of another epoch": SaltError,
    "erase salt instead of a day salt": SaltError,
    "month salt instead of a day salt": SaltError,
    "salt of another patient": SaltError,
    "salt-epoch names another day than the salt": SaltError,
    "salt-epoch in the future": StaleError,
    "salt-epoch older than 14 days": StaleError,
    "salt-epoch relabelled": SaltError,
    "profile hash is not the profile held": OtherProfileError,
    "another pseudonym": OtherPatientError,
    "IDevID signature: one bit": ForgedError,
    "IDevID signature: over another alias": ForgedError,
    "IDevID signature: over another epoch": ForgedError,
    "IDevID signature: over another LDevID": ForgedError,
    "IDevID signature: over another pseudonym": ForgedError,
    "IDevID signature: by another key": ForgedError,
    "IDevID signature: high s": ForgedError,
    "IDevID is not the one pinned": StrangerError,
    "policy sealed under a counter nonce": SaltError,
    "no recipient": MalformedError,
    "trailing byte": TrailingError,
}


class UnpairedBackend(Hybrid):
    """A backend that fails whoever reaches for a pairing."""

    def pair(self, ps: object, qs: object) -> NoReturn:  # noqa: ARG002
        """Fail."""
        pytest.fail("a pairing was computed")


def reader(kem: Kem, *attributes: str) -> LoadedKey:
    """Return a key of the vectors' authority."""
    data = grant(kem, ALPHA, attributes, bytes(48), person="p", issuance=1)
    return load(kem, AttributeKey.decode(data))


@pytest.fixture(scope="module")
def key(kem: Kem) -> LoadedKey:
    """Return a key that the vectors' policies admit."""
    return reader(kem, "care:9k2m4x", "t.day:2026-11-23", "patient:7f3a9c")


KNOWN: dict[str, Any] = {
    "outer": (V["alias"], V["epoch"], V["purpose"], h(V["kid"])),
    "salts": {V["epoch"]: h(V["day_salt"])},
    "pseudonym": V["pseudonym"],
    "profile_hash": h(V["profile"]),
    "ldevid_spki": h(V["ldevid"]),
    "pinned_idevid": h(V["idevid"]),
}


def rebuilt(kem: Kem, want: Any, name: Name = NAME, **other: Any) -> bytes:  # noqa: ANN401
    """Return the record that the vectors' gateway makes of *want*."""
    inside = Inside(
        policy_number=want["policy_number"],
        tree=policy.parse(want["policy"]),
        pseudonym=V["pseudonym"],
        profile_hash=h(V["profile"]),
        idevid=h(want.get("idevid", V["idevid"])),
        device_signature=h(want.get("signature", V["device_signature"])),
        previous=other.pop("previous", PREVIOUS),
    )
    given: Any = {
        "name": name,
        "secret": h(V["content_secret"]),
        "salt": h(V["day_salt"]),
        "salt_epoch": V["epoch"],
        "inside": inside,
        "mpks": [kem.master(h(V["mpk"]))],
        "messages": [h(want["m"])],
    }
    return record.make(kem, **{**given, **other})


def test_salts_are_the_vectors() -> None:
    """A day's salt and a month's come from the erase salt, and never the reverse."""
    erase, epoch = h(V["erase_salt"]), V["epoch"]
    assert keys.day_salt(erase, epoch).hex() == V["day_salt"]
    assert keys.day_salt(erase, epoch + 1).hex() == V["salts"]["next_day"]
    month = keys.month_salt(erase, "2026-11").hex()
    assert month == V["salts"]["month"]["2026-11"]
    assert keys.day_of(epoch) == "2026-11-23"


def test_the_device_signs_the_vectors_message() -> None:
    """Page and analyst compute the same bytes."""
    message = record.device_message(
        V["alias"], V["epoch"], h(V["ldevid"]), V["pseudonym"]
    )
    assert message.hex() == V["device_message"]


@pytest.mark.parametrize("which", list(V["records"]))
def test_a_record_is_rebuilt_and_opened(kem: Kem, key: LoadedKey, which: str) -> None:
    """Every byte, key and nonce is the vectors'; nothing is left to choice."""
    want = V["records"][which]
    assert rebuilt(kem, want).hex() == want["record"]
    found = record.read(h(want["record"]))
    salt = h(V["day_salt"])
    assert keys.policy_key(salt, NAME.context).hex() == want["policy_key"]
    nonce = keys.policy_nonce(found.protected, 0)
    assert nonce.hex() == want["policy_nonce"]
    sealed = found.recipients[0].sealed_policy
    body = AESGCM(h(want["policy_key"])).decrypt(nonce, sealed, found.protected)
    assert body.hex() == want["body"]
    opened = open_record(kem, key, h(want["record"]), **KNOWN)
    assert opened.keys.data.hex() == want["keys"]["data"]
    assert opened.keys.coc.hex() == want["keys"]["coc"]
    assert policy.parse(opened.policy_text) == policy.parse(want["policy"])
    assert (opened.policy_number, opened.previous) == (7, PREVIOUS)


def test_a_gateway_without_network_goes_on(kem: Kem, key: LoadedKey) -> None:
    """A record under the salt of three days ago opens with that salt."""
    late, salt = V["offline"], h(V["offline"]["day_salt"])
    body = rebuilt(kem, CLINICAL, salt=salt, salt_epoch=late["salt_epoch"])
    assert body.hex() == late["record"]
    known = {**KNOWN, "salts": {late["salt_epoch"]: salt}.get}
    assert open_record(kem, key, body, **known).epoch == V["epoch"]


def test_a_workers_record_opens_as_his(kem: Kem, key: LoadedKey) -> None:
    """It has alias, rid, secret and identity of its own, and so key and nonce."""
    want = V["worker"]
    name = Name(alias=want["alias"], epoch=want["epoch"], purpose=1, rid=h(want["rid"]))
    secret = h(want["content_secret"])
    body = rebuilt(kem, want, name, secret=secret, previous=None)
    assert body.hex() == want["record"]
    known = {
        **KNOWN,
        "outer": (name.alias, name.epoch, 1, name.kid),
        "ldevid_spki": h(want["ldevid"]),
        "pinned_idevid": h(want["idevid"]),
    }
    opened = open_record(kem, key, body, worker=True, **known)
    assert opened.keys.data.hex() == want["keys"]["data"]
    assert want["policy_key"] != CLINICAL["policy_key"]
    assert want["policy_nonce"] != CLINICAL["policy_nonce"]


@pytest.mark.parametrize("case", V["reject"], ids=lambda case: case["name"])
def test_a_false_record_is_refused_before_any_pairing(case: dict[str, Any]) -> None:
    """Each is refused by its word, and costs no curve work worth the name."""
    kem = Kem(UnpairedBackend())
    key = reader(kem, "care:9k2m4x", "t.day:2026-11-23")
    known = dict(KNOWN)
    epoch = case.get("salt_epoch", V["epoch"])
    known["salts"] = {epoch: h(case.get("salt", V["day_salt"]))}
    if "outer" in case:
        known["outer"] = (*case["outer"][:3], h(case["outer"][3]))
    if "profile" in case:
        known["profile_hash"] = h(case["profile"])
    known["pseudonym"] = case.get("pseudonym", V["pseudonym"])
    with pytest.raises(WORDS[case["name"]]):
        open_record(kem, key, h(case["record"]), **known)


def test_no_pairing_is_spent_on_who_may_not_read() -> None:
    """Whoever lacks attributes is told what is needed, at once."""
    kem = Kem(UnpairedBackend())
    with pytest.raises(UnsatisfiedError, match="care:9k2m4x"):
        open_record(kem, reader(kem, "care:other"), h(CLINICAL["record"]), **KNOWN)


def test_every_byte_of_a_record_counts(kem: Kem, key: LoadedKey) -> None:
    """A record that was touched anywhere opens for nobody."""
    good = h(CLINICAL["record"])
    for at in range(0, len(good), 7):
        changed = bytearray(good)
        changed[at] ^= 1
        with pytest.raises(SealwardError):
            open_record(kem, key, bytes(changed), **KNOWN)


def test_a_missing_salt_says_so(kem: Kem, key: LoadedKey) -> None:
    """Refusing a salt revokes: nothing else opens the day."""
    with pytest.raises(SaltError, match="not at hand"):
        open_record(kem, key, h(CLINICAL["record"]), **{**KNOWN, "salts": {}})


def test_two_authorities_wrap_one_secret(kem: Kem, key: LoadedKey) -> None:
    """While a master key is rotated, both keys' holders read."""
    other = kem.master(kem.backend.e(kem.backend.mul(kem.backend.g2, 99)))
    mpks, messages = [other, kem.master(h(V["mpk"]))], [bytes(32), b"\1" * 32]
    body = rebuilt(kem, CLINICAL, mpks=mpks, messages=messages)
    assert len(record.read(body).recipients) == 2
    opened = open_record(kem, key, body, **KNOWN)
    assert opened.keys.data.hex() == CLINICAL["keys"]["data"]
    with pytest.raises(UnreadableError, match="another authority"):
        open_record(
            kem,
            key,
            rebuilt(kem, CLINICAL, mpks=[other], messages=[bytes(32)]),
            **KNOWN,
        )


def test_a_second_record_under_one_kid_shows_the_same_kid() -> None:
    """The keeper sees kid and rid, and so can refuse other bytes beside them."""
    same = record.read(h(V["same_kid_other_bytes"]))
    assert same.name == record.read(h(CLINICAL["record"])).name
    assert V["same_kid_other_bytes"] != CLINICAL["record"]


def test_the_recipients_cannot_be_emptied_or_multiplied() -> None:
    """A general decoder once took a record whose list had lost its recipient."""
    tagged = cbor2.loads(h(CLINICAL["record"]))
    protected, _, _, recipients = tagged.value
    for many in (0, 5):
        body = cbor.encode(
            cbor2.CBORTag(96, [protected, {}, None, list(recipients) * many])
        )
        with pytest.raises(MalformedError):
            record.read(body)
    with pytest.raises(MalformedError):
        record.read(bytes(49 * 1024))


@given(st.binary(max_size=200) | st.binary(max_size=99).map(lambda b: b"\xd8\x60" + b))
def test_random_bytes_are_no_record(data: bytes) -> None:
    """A record comes from a stranger until its packet was verified."""
    with pytest.raises(RefusalError):
        record.read(data)


@given(st.data())
def test_a_broken_record_raises_only_our_error(data: st.DataObject) -> None:
    """Its form is refused, or nothing of the form was touched."""
    good = h(CLINICAL["record"])
    at = data.draw(st.integers(0, len(good) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=3))
    try:
        record.read(good[:at] + noise + good[at + len(noise) :])
    except RefusalError:
        return


@given(st.binary(max_size=120))
def test_a_policy_body_raises_only_our_error(data: bytes) -> None:
    """Whoever has the salt could seal rubbish in a policy's place."""
    with pytest.raises(RefusalError):
        record.read_inside(data)
