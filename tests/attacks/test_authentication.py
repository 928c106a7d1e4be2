"""Authentication: who is not who he says gets no further than the broker's door."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support import mqtt_client
from tests.support.device import context, dial, enrolled, forged, run, signed
from tests.support.mqtt_client import Client
from tests.support.site import Ward, until, ward

from sealward import clock
from sealward.bedside.credential import Credential
from sealward.custody import certificates
from sealward.seal import signing
from sealward.wire import desk, tls


@pytest.fixture(scope="module")
def site() -> Iterator[Ward]:
    """Return a site without gateways."""
    with ward() as made:
        yield made


@pytest.fixture(scope="module")
def victim(site: Ward, tmp_path_factory: pytest.TempPathFactory) -> Credential:
    """Return an honest gateway's credential."""
    return enrolled(site, tmp_path_factory.mktemp("victim"))


@pytest.fixture(scope="module")
def thief(site: Ward, tmp_path_factory: pytest.TempPathFactory) -> Credential:
    """Return another gateway's credential, in an attacker's hands."""
    return enrolled(site, tmp_path_factory.mktemp("thief"))


def stored(site: Ward, alias: str) -> int:
    """Return how many packets of *alias* are in the database."""
    rows = site.rows(
        "select count(*) from store.packet join registry.credential using (cred)"
        " where alias = %s",
        alias,
    )
    return int(str(rows[0][0]))


def audited(site: Ward, reason: str) -> int:
    """Return how many refused connections the audit has for *reason*."""
    rows = site.rows(
        "select count(*) from audit.entry where chain = 'sealward_custody'"
        " and act = 'connection.refused' and detail->>'reason' = %s",
        reason,
    )
    return int(str(rows[0][0]))


def refused_by_broker(site: Ward, reason: str) -> int:
    """Return how often the broker itself refused for *reason*."""
    broker = site.site.broker
    assert broker is not None
    return broker.refusals()[reason]


def mine(credential: Credential) -> str:
    """Return the topic on which *credential* may publish vitals."""
    return f"telemetry/{credential.alias}/vitals"


def test_a_stolen_client_id_opens_nothing(
    site: Ward, victim: Credential, thief: Credential
) -> None:
    """The thief is refused; the victim stays connected and is stored."""

    async def steal() -> None:
        honest = await dial(site, victim)
        assert await honest.connack == 0
        for name in (victim.alias, f"{victim.alias}~coc", f"{thief.alias}~x", ""):
            with suppress(OSError):
                other = await Client.dial(
                    site.site.broker.mqtt_port,  # type: ignore[union-attr]
                    context(thief),
                    name,
                )
                assert await other.connack == 5, name
        assert honest.is_open()
        honest.send(mqtt_client.publish(mine(victim), signed(victim, 0)))
        await asyncio.to_thread(until, lambda: stored(site, victim.alias) == 1)
        honest.close()

    run(steal())
    until(lambda: audited(site, "clientid") >= 1)


def test_another_devices_topic_takes_nothing(
    site: Ward, victim: Credential, thief: Credential
) -> None:
    """A publish elsewhere is dropped and counted; the own topic is taken."""
    before, counted = stored(site, victim.alias), refused_by_broker(site, "trespass")
    own = stored(site, thief.alias)

    async def trespass() -> None:
        client = await dial(site, thief)
        for topic in (mine(victim), f"telemetry/{thief.alias}/a/b", "live/x"):
            client.send(mqtt_client.publish(topic, signed(victim, 9)))
        for topic in (f"cmd/{victim.alias}/#", "#", "$SYS/#", f"live/{thief.alias}"):
            assert await client.subscribe(topic) == 128, topic
        client.send(mqtt_client.publish(mine(thief), signed(thief, 1)))
        await asyncio.to_thread(until, lambda: stored(site, thief.alias) == own + 1)
        client.close()

    run(trespass())
    assert stored(site, victim.alias) == before
    until(lambda: refused_by_broker(site, "trespass") > counted)


def test_without_a_certificate_of_ours_there_is_no_handshake(
    site: Ward, thief: Credential, tmp_path: Path
) -> None:
    """No certificate, another authority's, a service's, TLS 1.2: no word of MQTT."""
    broker = site.site.broker
    assert broker is not None
    foreign = certificates.found("elsewhere", clock.now())
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = certificates.service(foreign, key.public_key(), [thief.alias], clock.now())
    (tmp_path / "cert.pem").write_bytes(certificates.pem(leaf))
    (tmp_path / "key.pem").write_bytes(signing.private_pem(key))
    bare = ssl.create_default_context(cafile=str(thief.identity.authority))
    old = ssl.create_default_context(cafile=str(thief.identity.authority))
    old.load_cert_chain(thief.identity.certificate, thief.identity.key)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    other = replace(
        thief.identity, certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem"
    )
    root = site.site.root
    service = replace(
        thief.identity,
        certificate=root / "intake/tls.pem",
        key=root / "intake/tls.key",
    )
    before = sum(broker.refusals().values())

    async def knock(how: ssl.SSLContext) -> int | None:
        try:
            client = await Client.dial(broker.mqtt_port, how, thief.alias)
        except (OSError, TimeoutError):
            return None
        try:
            return await client.connack
        finally:
            client.close()

    for how in (bare, tls.client(other), tls.client(service), old):
        assert run(knock(how)) is None
    until(lambda: sum(broker.refusals().values()) >= before + 4)
    assert run(knock(context(thief))) == 0


def test_a_certificate_that_the_registry_does_not_know_is_refused(
    site: Ward, thief: Credential, tmp_path: Path
) -> None:
    """A stolen device authority alone admits nobody: the registry must know the key."""
    authority = certificates.load(site.site.root / "custody", "device-ca")
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(signing.private_pem(key))
    words = {"unknown": "a" * 26, "certificate": thief.alias}
    for word, alias in words.items():
        leaf = certificates.service(authority, key.public_key(), [alias], clock.now())
        (tmp_path / "cert.pem").write_bytes(certificates.pem(leaf))
        false = replace(
            thief,
            alias=alias,
            identity=replace(
                thief.identity,
                certificate=tmp_path / "cert.pem",
                key=tmp_path / "key.pem",
            ),
        )

        async def knock(who: Credential = false) -> int:
            client = await dial(site, who)
            try:
                return await client.connack
            finally:
                client.close()

        assert run(knock()) == 5
        until(partial(lambda reason: audited(site, reason) >= 1, word))


def test_a_revoked_device_is_closed_at_once_and_stays_out(
    site: Ward, tmp_path: Path
) -> None:
    """Revoking is a row: the live connection ends, and no other is admitted."""
    device = enrolled(site, tmp_path)

    async def revoke() -> None:
        client = await dial(site, device)
        assert await client.connack == 0
        asked = {"alias": device.alias, "actor": "operator"}
        await desk.call(
            site.site.root / "custody/desk.sock", "credential.revoke", asked
        )
        assert await client.gone(2)
        again = await dial(site, device)
        assert await again.connack == 5

    run(revoke())
    until(lambda: audited(site, "revoked") >= 1)
    rows = site.rows(
        "select count(*) from audit.entry where act = 'credential.revoke'"
        " and subject = %s",
        device.alias,
    )
    assert rows == [(1,)]


def test_what_the_door_refuses_is_counted_and_nothing_good_is_lost(
    site: Ward, victim: Credential, thief: Credential
) -> None:
    """Hostile packets leave a count each; the honest one beside them is kept."""
    before = stored(site, thief.alias)
    hostile = {
        "forged": forged(signed(thief, 50)),
        "trailing": signed(thief, 51) + b"\0",
        "unsigned": b"\xd0" + signed(thief, 52)[1:],
        "malformed": b"\xd2\x84" + bytes(60),
        "far": signed(thief, 1 << 20),
    }

    async def send() -> None:
        client = await dial(site, thief)
        for packet in hostile.values():
            client.send(mqtt_client.publish(mine(thief), packet))
        client.send(mqtt_client.publish(mine(thief), signed(victim, 60)))
        client.send(
            mqtt_client.publish(f"telemetry/{thief.alias}/wave", signed(thief, 61))
        )
        client.send(mqtt_client.publish(mine(thief), signed(thief, 7)))
        await asyncio.to_thread(until, lambda: stored(site, thief.alias) == before + 1)
        client.close()

    run(send())
    words = {*hostile, "misplaced"}

    def counted() -> set[str]:
        rows = site.rows(
            "select r.reason from store.refused r join registry.credential c"
            " using (cred) where c.alias = %s",
            thief.alias,
        )
        return {str(reason) for (reason,) in rows}

    until(lambda: words <= counted())
    for word in words:
        assert site.counted("intake", f'packets_refused{{reason="{word}"}}') >= 1


def test_other_bytes_under_a_stored_number_change_nothing(
    site: Ward, tmp_path: Path
) -> None:
    """The first bytes stay, after a restart of intake too; the next number is free."""
    device = enrolled(site, tmp_path)

    async def send() -> None:
        client = await dial(site, device)
        client.send(mqtt_client.publish(mine(device), signed(device, 1)))
        await asyncio.to_thread(until, lambda: stored(site, device.alias) == 1)
        client.send(mqtt_client.publish(mine(device), signed(device, 0)))
        await asyncio.to_thread(until, lambda: stored(site, device.alias) == 2)
        client.close()

    run(send())
    digests = "select seq, sha256(body) from store.packet join registry.credential"
    digests += " using (cred) where alias = %s and seq < 2 order by seq"
    first = site.rows(digests, device.alias)
    site.site.launcher.restart("intake")

    async def again() -> None:
        client = await dial(site, device)
        client.send(
            mqtt_client.publish(mine(device), signed(device, 1, body=bytes(41)))
        )
        client.send(mqtt_client.publish(mine(device), signed(device, 2)))
        await asyncio.to_thread(until, lambda: stored(site, device.alias) == 3)
        client.close()

    run(again())
    assert site.rows(digests, device.alias) == first


def test_a_rude_client_harms_no_neighbour(
    site: Ward, victim: Credential, thief: Credential
) -> None:
    """QoS 2 and 70 000 bytes end a connection; the neighbour's goes on."""

    async def rude() -> None:
        neighbour = await dial(site, victim)
        for packet in (
            mqtt_client.publish(mine(thief), bytes(70_000)),
            mqtt_client.publish(mine(thief), b"x", qos=2),
        ):
            client = await dial(site, thief)
            client.send(packet)
            assert await client.gone(5)
        assert neighbour.is_open()
        neighbour.close()

    run(rude())
    until(lambda: refused_by_broker(site, "oversize") >= 1)


async def admitted(site: Ward, who: Credential) -> bool:
    """Return whether *who* is let in now."""
    try:
        client = await dial(site, who)
    except (OSError, TimeoutError):
        return False
    try:
        return await client.connack == 0
    finally:
        client.close()


def test_without_custody_nobody_new_comes_in(
    site: Ward, victim: Credential, thief: Credential
) -> None:
    """Closed is what it falls to; who is connected stays."""

    async def closed() -> None:
        honest = await dial(site, victim)
        await asyncio.to_thread(site.site.launcher.stop, ["custody"])
        assert await admitted(site, thief) is False
        assert honest.is_open()
        honest.close()

    run(closed())
    site.site.launcher.restart("custody")
    until(lambda: run(admitted(site, thief)))


def test_the_audit_holds_after_all_that(site: Ward) -> None:
    """No chain is broken, and no detail names more than a reason."""
    assert site.rows("select * from audit.first_break()") == []
    rows = site.rows("select detail from audit.entry where act = 'connection.refused'")
    assert all(set(json.loads(json.dumps(row[0]))) == {"reason"} for row in rows)
