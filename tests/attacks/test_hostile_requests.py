"""Whatever the bytes, a process of ours refuses them by a word and lives."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.attacker import secret
from tests.support.intruder import Gateway, Reader, Stage, refusals, request_of, works
from tests.support.mqtt_client import Client
from tests.support.site import until

from sealward import clock
from sealward.custody.credentials import epoch_of
from sealward.custody.desk import Desk
from sealward.errors import RefusalError
from sealward.records import audit
from sealward.records.database import connect
from sealward.records.session import as_role
from sealward.wire import desk

STINGS = (
    "'; drop table store.packet; --",
    '"; delete from registry.credential; --',
    "\\.\n1\t2\t\\N",
    "%s %(x)s {0} $1 \\x27",
    "\u2019 or 1=1",
)
NAMES: st.SearchStrategy[object] = st.one_of(
    st.text(max_size=5), st.integers(-1, 9), st.binary(max_size=3)
)
ODD: st.SearchStrategy[object] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 70), 1 << 70),
        st.sampled_from([1 << 2000, 10**9, float("inf"), float("nan"), 1e308]),
        st.text(max_size=30),
        st.sampled_from([*STINGS, "a\0b", "x" * 200_000, str(uuid4())]),
        st.binary(max_size=100),
    ),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(NAMES, each),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def reader(stage: Stage) -> Reader:
    """Return a reader."""
    return stage.reader("role:nurse", "ward:icu")


@pytest.fixture(scope="module")
def custody(stage: Stage) -> Iterator[Desk]:
    """Return a desk of custody's on the site's own database."""
    with ExitStack() as stack:
        yield stack.enter_context(stage.desk_at(clock.now()))


@pytest.fixture(scope="module")
def asked(
    stage: Stage, own: Gateway, reader: Reader
) -> Mapping[str, Mapping[str, object]]:
    """Return a request for each verb, of which the most are as they should be."""
    now = clock.now()
    at, today, spki = int(now.timestamp() * 1000), epoch_of(now), own.keeper.spki
    request = request_of(secret())
    return {
        "patient.add": {"ward": "icu", "purposes": ["care"], "studies": []},
        "gateway.attach": {
            "idevid": spki,
            "slot": 5,
            "uid": own.uid,
            "signature": own.signed("sealward/1 attach", spki, 5, own.uid),
        },
        "credential.issue": {
            "idevid": spki,
            "slot": 0,
            "request": request,
            "at": at,
            "signature": bytes(64),
        },
        "credential.revoke": {"alias": "z" * 26, "actor": "somebody"},
        "slip.fetch": {
            "idevid": spki,
            "alias": own.alias,
            "at": at,
            "signature": own.signed("sealward/1 slip", own.alias, at),
        },
        "receipt.certify": {"keys": {}},
        "person.add": {"subject": "somebody"},
        "person.attributes": {
            "person": reader.person,
            "number": 2,
            "attributes": ["role:nurse"],
            "spki": spki,
            "registrar": bytes(32),
            "signature": bytes(64),
        },
        "salt.read": dict(reader.asks(stage.patient(own), today, today, now)),
    }


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_request_does_worse_than_be_refused(
    custody: Desk, asked: Mapping[str, Mapping[str, object]], data: st.DataObject
) -> None:
    """One field of it is anything at all, another may be missing."""
    verb = data.draw(st.sampled_from(sorted(asked)))
    args: dict[str, Any] = dict(asked[verb])
    args[data.draw(st.sampled_from(sorted(args)))] = data.draw(ODD)
    if data.draw(st.booleans()):
        del args[data.draw(st.sampled_from(sorted(args)))]
    try:
        custody.answer(verb, args)
    except RefusalError as error:
        assert error.reason  # noqa: PT017 - or it was answered, which is as well


@pytest.mark.parametrize("odd", [1 << 40, (1 << 63) + 1, float("inf"), None, "a\0b"])
def test_no_field_is_taken_for_what_it_is_not(
    custody: Desk, asked: Mapping[str, Mapping[str, object]], odd: object
) -> None:
    """A number where bytes are meant would be as many zeros in memory."""
    for verb, good in asked.items():
        for name in good.keys() - {"purposes", "studies", "attributes", "ward"}:
            with pytest.raises(RefusalError) as refused:
                custody.answer(verb, {**good, name: odd})
            words = {"request", "forged", "unbound", "unknown", "span"}
            assert refused.value.reason in words


def test_hostile_frames_end_no_desk(stage: Stage, reader: Reader) -> None:
    """Hung up on or refused; the next who asks is answered, and no fault is counted."""
    deep = b"\x81" * 5000 + b"\x00"
    frames = (
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x01",
        len(deep).to_bytes(4, "big") + deep,
        framed([1, "person.add", {}]),
        framed([1, "no.such.verb", {"x": 1}]),
        framed([1, "salt.read", {"person": reader.person, "at": 1 << 2000}]),
        framed([1, "key.grant", {"person": reader.person, "at": float("inf")}]),
        framed([1, "key.grant", {"person": "x", "signature": 1 << 40}]),
        os.urandom(500),
    )

    async def say(of: str, frame: bytes) -> bytes:
        path = stage.root / of / "desk.sock"
        reader_, writer = await asyncio.open_unix_connection(path)
        writer.write(frame)
        writer.write_eof()
        try:
            return await asyncio.wait_for(reader_.read(), 5)
        finally:
            writer.close()

    async def run() -> None:
        for of in ("custody", "authority"):
            for frame in frames:
                said = await say(of, frame)
                assert b"failed" not in said, frame[:40]
            with pytest.raises(desk.DeskRefusedError) as refused:
                await desk.call(stage.root / of / "desk.sock", "no.such.verb", {})
            assert refused.value.word in {"request", "person"}

    with stage.counts("custody", *refusals("requests", "request", "request")):
        asyncio.run(run())
    assert stage.ask("pins", {}, "authority") == ""
    assert stage.ask("receipt.certify", {"keys": {}}) == ""
    assert "sealward_faults" not in stage.counters("custody")


def framed(value: object) -> bytes:
    """Return *value* as a desk's frame."""
    data = cbor2.dumps(value, canonical=True)
    return len(data).to_bytes(4, "big") + data


def test_what_outsiders_write_is_never_a_query(stage: Stage, own: Gateway) -> None:
    """It is stored letter by letter, or refused for its form; no table notices."""

    def rows() -> list[tuple[object, ...]]:
        return stage.ward.rows(
            "select (select count(*) from registry.credential where alias = %s),"
            " to_regclass('store.packet') is not null",
            own.alias,
        )

    before = rows()
    for sting in STINGS:
        name = f"{sting} {uuid4()}"
        assert stage.ask("person.add", {"subject": name}) == ""
        [[subject]] = stage.ward.rows(
            "select subject from registry.person where subject = %s", name
        )
        assert subject == name
        revoked = {"alias": sting, "actor": sting}
        assert stage.ask("credential.revoke", revoked) == "unknown"
        asked = {"ward": sting, "purposes": ["care"], "studies": []}
        # Where a code is checked by a rule of its own, that rule's word is as good.
        assert stage.ask("patient.add", asked) in {"policy", "consent"}
    assert rows() == before == [(1, True)]
    with connect(as_role(stage.site.url, "auditor")) as auditor:
        assert audit.first_break(auditor) == []


def test_a_client_id_is_never_a_query_nor_a_reason(stage: Stage, own: Gateway) -> None:
    """The broker takes letters alone, and its log counts by its own words alone."""
    names = {"QoS2": "auth", "malformed": "auth", "TrespassViolation": "auth"}
    names |= dict.fromkeys(STINGS, "malformed")
    names['" - TLS handshake error: bad certificate'] = "malformed"
    names["Publish Violation QoS2"] = "malformed"
    before = stage.broker.refusals()

    async def run() -> None:
        for name in names:
            client = await Client.dial(stage.broker.mqtt_port, own.context, name)
            assert await client.connack in {2, 5}
            client.close()
        async with stage.session(own) as client:
            await works(stage, own, client, 0)

    with stage.counts("custody", *refusals("connections", "clientid")):
        asyncio.run(run())
    until(lambda: (stage.broker.refusals() - before).total() >= len(names))
    assert (stage.broker.refusals() - before).keys() == set(names.values())
    until(lambda: "clientid" in stage.whys(own.bed.identity.certificate))
