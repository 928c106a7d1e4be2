"""Both desks: arguments of any type, texts that mean something to SQL, other times."""

import os
import tracemalloc
from collections.abc import Iterator, Mapping
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from tests.support.desks import TODAY, Desks, Reader, key, today_at
from tests.support.device import enrolled
from tests.support.site import Ward, ward

from sealward.bedside.credential import Credential, Keeper
from sealward.seal import cbor, signing

UUID0 = "00000000-0000-0000-0000-000000000000"
SQL = (
    "'; drop table store.packet; --",
    "\\'; select pg_sleep(9); --",
    "$$ || (select 1) || $$",
    'x" or "1"="1',
    "%s %(x)s {0} \\",
    "\\.\n\\N\t",
    "\N{RIGHT SINGLE QUOTATION MARK} or 1=1",
    "<script>alert(1)</script>",
)
JUNK: tuple[object, ...] = (
    *(None, True, -1, 1 << 31, 1 << 63, 10**400, -(10**400), 1.5),
    *(float("nan"), float("inf"), "", "x", "\0", "a\0b", "x" * 70_000),
    *(b"", bytes(91), bytes(70_000), [], [1], [["x"]], [None], {}, {1: b"x"}),
    *({9: b""}, {"a": 1}, {True: b""}, ["x"] * 1000),
)


@pytest.fixture(scope="module")
def site() -> Iterator[Ward]:
    """Return a site."""
    with ward() as made:
        yield made


@pytest.fixture
def desks(site: Ward) -> Iterator[Desks]:
    """Return the site's desks under a clock of this test's own."""
    made = Desks(site)
    yield made
    made.close()


@pytest.fixture(scope="module")
def gateway(site: Ward, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a gateway that is attached to a bed."""
    folder = tmp_path_factory.mktemp("gateway")
    enrolled(site, folder)
    return folder


def patient(site: Ward) -> UUID:
    """Return a new patient of the ward ``icu``."""
    (made,) = site.enrol(1)
    rows = site.rows(
        "select patient_id from registry.patient where pseudonym = %s", made.pseudonym
    )
    assert isinstance(rows[0][0], UUID)
    return rows[0][0]


def templates(desks: Desks) -> Mapping[str, dict[str, object]]:
    """Return a request of every verb that both desks know, well-formed."""
    spki, at = signing.spki(key().public_key()), desks.clock.ms
    gateway = {"idevid": spki, "slot": 0, "signature": bytes(64)}
    person = {"person": UUID0, "signature": bytes(64)}
    days = {"first": TODAY, "last": TODAY, "at": at}
    return {
        "patient.add": {"ward": "icu", "purposes": ["care"], "studies": []},
        "gateway.attach": {**gateway, "uid": "0" * 16},
        "credential.issue": {**gateway, "request": b"x", "at": at},
        "credential.revoke": {"alias": "a" * 26, "actor": "x"},
        "slip.fetch": {**gateway, "alias": "a" * 26, "at": at},
        "receipt.certify": {"keys": {}},
        "person.add": {"subject": os.urandom(8).hex()},
        "person.attributes": {
            **person,
            "number": 1,
            "attributes": ["role:nurse"],
            "spki": spki,
            "registrar": bytes(32),
        },
        "salt.read": {**person, "patient": UUID0, **days},
        "key.grant": {**person, **days},
    }


def test_no_argument_breaks_a_desk(site: Ward, desks: Desks) -> None:
    """Wrong types, bombs of numbers and NULs are refused by name, and cost nothing."""
    reader = Reader.new(desks, "argued")
    assert desks.word("person.attributes", reader.order(1, "role:nurse")) == "ok"
    words = set()
    for verb, honest in templates(desks).items():
        for name in honest:
            words |= {desks.word(verb, honest | {name: junk}) for junk in JUNK}
        words.add(desks.word(verb, {}))
    assert words <= {
        *("ok", "request", "person", "uid", "consent", "policy", "overlimit"),
        *("malformed", "forged", "unknown", "span", "ungrantable", "unentitled"),
        "conflicting",
    }
    assert site.rows("select * from audit.first_break()") == []


def test_a_number_is_not_a_length(desks: Desks) -> None:
    """A signature that is the number 200 000 000 makes no server fetch 200 MB."""
    tracemalloc.start()
    for verb, honest in templates(desks).items():
        for name in set(honest) & {"signature", "idevid", "spki", "registrar"}:
            assert desks.word(verb, honest | {name: 200_000_000}) != "ok"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000
    assert desks.word("pins", {}) == "ok"


def test_no_text_of_an_outsider_is_a_query(
    site: Ward, desks: Desks, gateway: Path
) -> None:
    """Each text is refused, or kept to the letter; no table is touched by it."""
    tables = "select table_schema, table_name from information_schema.tables"
    before = sorted(map(str, site.rows(tables)))
    keeper = Keeper(gateway, desks.root / "custody/desk.sock")
    for text in SQL:
        subject = f"{text} {os.urandom(4).hex()}"
        reader = Reader.new(desks, subject)
        kept = site.rows(
            "select subject from registry.person where person_id = %s::uuid",
            reader.person,
        )
        assert kept == [(subject,)]
        care: dict[str, object] = {"ward": text, "purposes": ["care"], "studies": []}
        assert desks.word("patient.add", care) == "policy"
        purposes = ["care", "research"]
        study = {"ward": "icu", "purposes": purposes, "studies": [text]}
        assert desks.word("patient.add", study) == "policy"
        assert desks.word("patient.add", care | {"purposes": [text]}) == "consent"
        assert desks.word("person.attributes", reader.order(1) | {
            "attributes": [text]
        }) == "policy"  # fmt: skip
        revoked = {"alias": text, "actor": text}
        assert desks.word("credential.revoke", revoked) == "unknown"
        assert desks.word(text, {}) == "request"
        at = desks.clock.ms
        words = cbor.encode(["sealward/1 slip", text, at])
        asked = {"idevid": keeper.spki, "alias": text, "at": at}
        asked["signature"] = signing.sign(keeper.idevid, words)
        assert desks.word("slip.fetch", asked) == "unknown"
        words = cbor.encode(["sealward/1 attach", keeper.spki, 1, text])
        asked = {"idevid": keeper.spki, "slot": 1, "uid": text}
        asked["signature"] = signing.sign(keeper.idevid, words)
        assert desks.word("gateway.attach", asked) == "uid"
    for text in ("icu) or (role:nurse", "icu or role:nurse", "icu)) or svc:x or ((a:b"):
        care = {"ward": text, "purposes": ["care"], "studies": []}
        assert desks.word("patient.add", care) == "policy"
    assert sorted(map(str, site.rows(tables))) == before
    assert site.rows("select * from audit.first_break()") == []


def test_tomorrows_salts_are_for_the_evening(site: Ward, desks: Desks) -> None:
    """Until 18:00 UTC nobody gets them; from then on whoever satisfies the policy."""
    whose = patient(site)
    reader = Reader.new(desks, "evening")
    order = reader.order(1, "role:nurse", "ward:icu")
    assert desks.word("person.attributes", order) == "ok"
    for hours, expected in ((0.1, "span"), (17.9997, "span"), (18, "ok"), (23.9, "ok")):
        desks.clock.at = today_at(hours)
        asked = reader.asks_salts(whose, TODAY + 1, TODAY + 1)
        assert desks.word("salt.read", asked) == expected, hours
        later = reader.asks_salts(whose, TODAY + 2, TODAY + 2)
        assert desks.word("salt.read", later) == "span", hours
        assert desks.word("salt.read", reader.asks_salts(whose, TODAY, TODAY)) == "ok"
    read = "select count(*) from audit.entry where act = 'salt.read' and subject = %s"
    read += " and actor = %s"
    assert site.rows(read, str(whose), reader.person) == [(6,)]


def test_tomorrows_key_is_for_the_evening(desks: Desks) -> None:
    """The authority keeps the same hours, by a clock of its own."""
    reader = Reader.new(desks, "evening key")
    assert desks.word("person.attributes", reader.order(1, "role:nurse")) == "ok"
    for hours, expected in ((0.1, "days"), (17.9997, "days"), (18, "ok")):
        desks.clock.at = today_at(hours)
        asked = reader.asks_key(TODAY + 1, TODAY + 1)
        assert desks.word("key.grant", asked) == expected, hours
    assert desks.word("key.grant", reader.asks_key(TODAY, TODAY)) == "ok"


def test_a_kept_request_serves_for_two_minutes(site: Ward, desks: Desks) -> None:
    """A request that was overheard is of no use later, nor one made for later."""
    whose = patient(site)
    reader = Reader.new(desks, "overheard")
    order = reader.order(1, "role:nurse", "ward:icu")
    assert desks.word("person.attributes", order) == "ok"
    start = desks.clock.at = today_at(9)
    requests = {
        "salt.read": (reader.asks_salts(whose, TODAY, TODAY), "request"),
        "key.grant": (reader.asks_key(TODAY, TODAY), "person"),
    }
    for verb, (asked, refused) in requests.items():
        for seconds in (-121, 121, 86_400):
            desks.clock.at = start + timedelta(seconds=seconds)
            assert desks.word(verb, asked) == refused, seconds
            assert desks.word(verb, asked | {"at": desks.clock.ms}) == "forged"
        desks.clock.at = start
        assert desks.word(verb, asked) == "ok"


def test_who_is_not_entitled_leaves_a_row(site: Ward, desks: Desks) -> None:
    """A salt that is refused is audited under the person's own number."""
    whose = patient(site)
    elsewhere, nurse = Reader.new(desks, "elsewhere"), Reader.new(desks, "here")
    for reader, where in ((elsewhere, "ward:surgery"), (nurse, "ward:icu")):
        order = reader.order(1, "role:nurse", where)
        assert desks.word("person.attributes", order) == "ok"
    asked = elsewhere.asks_salts(whose, TODAY, TODAY)
    assert desks.word("salt.read", asked) == "unentitled"
    stolen = {**nurse.asks_salts(whose, TODAY, TODAY), "person": elsewhere.person}
    assert desks.word("salt.read", stolen) == "forged"
    assert desks.word("salt.read", nurse.asks_salts(whose, TODAY, TODAY)) == "ok"
    acts = site.rows(
        "select act, actor from audit.entry where subject = %s and act like 'salt.%%'"
        " and actor <> 'gateway' order by n",
        str(whose),
    )
    assert acts == [("salt.refused", elsewhere.person), ("salt.read", nurse.person)]


def test_an_order_that_was_overtaken_does_not_come_back(
    site: Ward, desks: Desks
) -> None:
    """A database set back to yesterday's attributes moves the authority nowhere."""
    reader = Reader.new(desks, "set back")
    orders = [
        reader.order(1, "role:clinician", "ward:icu"),
        reader.order(2, "role:nurse", "ward:surgery"),
    ]
    for order in orders:
        assert desks.word("person.attributes", order) == "ok"
    assert desks.word("person.attributes", orders[0]) == "conflicting"
    assert desks.word("key.grant", reader.asks_key(TODAY, TODAY)) == "ok"
    change = " from registry.attribute_change where person_id = %s::uuid and number = 2"
    site.rows("delete" + change, reader.person)
    assert desks.word("key.grant", reader.asks_key(TODAY, TODAY)) == "outdated"
    assert desks.word("person.attributes", orders[1]) == "ok"
    assert desks.word("key.grant", reader.asks_key(TODAY, TODAY)) == "ok"
    granted = "select count(*) from audit.entry where act = 'key.granted'"
    assert site.rows(granted + " and subject = %s", reader.person) == [(2,)]


def credential_request(bed: Keeper, at: int) -> dict[str, object]:
    """Return a gateway's request for a credential of its bed 0, made at *at*."""
    fresh = key()
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(fresh, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    words = ["sealward/1 credential", sha256(request).digest(), 0, at]
    signature = signing.sign(bed.idevid, cbor.encode(words))
    asked = {"idevid": bed.spki, "slot": 0, "request": request, "at": at}
    return {**asked, "signature": signature}


def test_a_certificate_is_for_a_key_that_its_holder_has(
    site: Ward, desks: Desks, tmp_path: Path
) -> None:
    """Somebody else's request, a broken one, an old one: no certificate, no row."""
    bed = Keeper(tmp_path, desks.root / "custody/desk.sock")
    enrolled(site, tmp_path)
    stranger = Keeper(tmp_path / "other", desks.root / "custody/desk.sock")
    asked = credential_request(bed, desks.clock.ms)
    other = credential_request(bed, desks.clock.ms)
    swapped = asked | {"request": other["request"]}
    assert desks.word("credential.issue", swapped) == "forged"
    assert desks.word("credential.issue", asked | {"slot": 1}) == "forged"
    unknown = credential_request(stranger, desks.clock.ms)
    assert desks.word("credential.issue", unknown) == "unbound"
    broken = bytes(asked["request"])[:-1] + b"\0"  # type: ignore[call-overload]
    words = ["sealward/1 credential", sha256(broken).digest(), 0, desks.clock.ms]
    signature = signing.sign(bed.idevid, cbor.encode(words))
    forged = asked | {"request": broken, "signature": signature}
    assert desks.word("credential.issue", forged | {"at": words[-1]}) == "csr"
    stale = credential_request(bed, desks.clock.ms)
    desks.clock.at += timedelta(seconds=121)
    assert desks.word("credential.issue", stale) == "request"
    count = "select count(*) from audit.entry where act = 'credential.issue'"
    before = site.rows(count)
    honest = credential_request(bed, desks.clock.ms)
    assert desks.word("credential.issue", honest) == "ok"
    assert site.rows(count) == [(int(str(before[0][0])) + 1,)]


def test_a_revoked_alias_gets_no_slip(site: Ward, desks: Desks, tmp_path: Path) -> None:
    """Nor does custody end an alias twice; another gateway's goes on."""
    device = enrolled(site, tmp_path / "a")
    neighbour = enrolled(site, tmp_path / "b")
    socket = desks.root / "custody/desk.sock"

    def slip(folder: Path, of: Credential) -> str:
        keeper, at = Keeper(folder, socket), desks.clock.ms
        words = cbor.encode(["sealward/1 slip", of.alias, at])
        asked = {"idevid": keeper.spki, "alias": of.alias, "at": at}
        asked["signature"] = signing.sign(keeper.idevid, words)
        return desks.word("slip.fetch", asked)

    assert slip(tmp_path / "a", device) == "ok"
    end = {"alias": device.alias, "actor": "operator"}
    assert desks.word("credential.revoke", end) == "ok"
    assert desks.word("credential.revoke", end) == "unknown"
    assert slip(tmp_path / "a", device) == "revoked"
    assert slip(tmp_path / "b", neighbour) == "ok"
