"""Connections: each certificate, client id and port, and what ends an open one."""

import asyncio
import ssl
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from tests.support import mqtt_client
from tests.support.desks import TODAY, Desks, key, today_at
from tests.support.device import context, dial, enrolled, run
from tests.support.hostile import Line, Says, digests, stored
from tests.support.mqtt_client import Client
from tests.support.site import Ward, until

from sealward.bedside.credential import Credential
from sealward.custody import admission, certificates
from sealward.custody.credentials import midnight
from sealward.errors import UnavailableError
from sealward.seal import signing
from sealward.seal.envelope import Kind
from sealward.wire import bus, desk, tls
from sealward.wire.nkey import NKey

ALIAS = "k3v9q0d2m7x5c1p8r4t6w0y2za"
NOON = today_at(12)


@pytest.fixture
def neighbour(site: Ward, tmp_path: Path) -> Credential:
    """Return an honest gateway's credential."""
    return enrolled(site, tmp_path / "neighbour")


def audited(site: Ward, device: Credential) -> list[str]:
    """Return the audit's reasons for which *device*'s certificate was refused."""
    leaf = x509.load_pem_x509_certificate(device.identity.certificate.read_bytes())
    rows = site.rows(
        "select detail->>'reason' from audit.entry where act = 'connection.refused'"
        " and chain = 'sealward_custody' and subject = %s order by n",
        admission.fingerprint(leaf),
    )
    return [str(reason) for (reason,) in rows]


def by_broker(site: Ward, word: str) -> int:
    """Return how often the broker itself has refused for *word*."""
    assert site.site.broker is not None
    return site.site.broker.refusals()[word]


async def code(
    site: Ward, how: ssl.SSLContext, client_id: str, port: int | None = None
) -> int | None:
    """Return the broker's answer to a CONNECT, None if there was none."""
    assert site.site.broker is not None
    try:
        client = await Client.dial(port or site.site.broker.mqtt_port, how, client_id)
    except (OSError, TimeoutError):
        return None
    try:
        return await client.connack
    finally:
        client.close()


# --- handshakes ------------------------------------------------------------


def test_each_false_handshake_is_counted_by_its_word(
    site: Ward, device: Credential, tmp_path: Path
) -> None:
    """``certificate`` for none, a stranger's, a service's; ``tls`` for TLS 1.2."""
    root = site.site.root
    foreign = certificates.found("Sealward device-ca", NOON - timedelta(hours=1))
    secret = key()
    leaf = certificates.service(foreign, secret.public_key(), [device.alias], NOON)
    (tmp_path / "cert.pem").write_bytes(certificates.pem(leaf))
    (tmp_path / "key.pem").write_bytes(signing.private_pem(secret))
    stranger = replace(
        device.identity, certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem"
    )
    service = replace(
        device.identity,
        certificate=root / "intake/tls.pem",
        key=root / "intake/tls.key",
    )
    bare = ssl.create_default_context(cafile=str(device.identity.authority))
    old = tls.client(device.identity)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    for word, how in (
        ("certificate", bare),
        ("certificate", tls.client(stranger)),
        ("certificate", tls.client(service)),
        ("tls", old),
    ):
        before = by_broker(site, word)
        assert run(code(site, how, device.alias)) is None
        until(partial(lambda w, n: by_broker(site, w) == n + 1, word, before))
    assert run(code(site, context(device), device.alias)) == 0


def test_two_ports_have_two_authorities(site: Ward, device: Credential) -> None:
    """A device's certificate opens no service's port, even with a service's seed."""
    root, broker = site.site.root, site.site.broker
    assert broker is not None
    seed = NKey.load(root / "analyst/nats.seed")
    service = tls.Identity(
        certificate=root / "analyst/tls.pem",
        key=root / "analyst/tls.key",
        authority=root / "analyst/service-ca.pem",
    )

    async def connect(identity: tls.Identity, by: NKey) -> bool:
        try:
            found = await bus.connect(
                broker.service_url, identity, by, name="x", patience=0.5
            )
        except UnavailableError:
            return False
        await found.close()
        return True

    before = by_broker(site, "certificate")
    assert run(connect(device.identity, seed)) is False
    until(lambda: by_broker(site, "certificate") > before)
    assert run(connect(service, NKey.generate(bytes(32)))) is False
    assert run(connect(service, seed)) is True


def test_the_certificate_of_two_days_ago_is_over_and_yesterdays_is_not(
    site: Ward, tmp_path: Path
) -> None:
    """Both were issued by the real custody, under the clock of their day."""
    desks = Desks(site)
    found = []
    for days in (2, 1):
        desks.clock.at = midnight(TODAY - days) + timedelta(minutes=5)
        (patient,) = site.enrol(1)
        found.append(run(desks.enrol(patient.uid, tmp_path / str(days))))
    desks.close()
    before = by_broker(site, "certificate")
    over, grace = found
    assert run(code(site, context(over), over.alias)) is None
    until(lambda: by_broker(site, "certificate") == before + 1)

    async def send() -> None:
        async with Line(site, grace) as line:
            packets = [Says(device=grace, seq=n, days=n - 1).packet() for n in (0, 1)]
            line.say(packets)
            await line.until(lambda: stored(site, grace) == digests(packets))

    run(send())


# --- client ids and topics -------------------------------------------------


def test_no_other_client_id_is_taken(
    site: Ward, device: Credential, neighbour: Credential
) -> None:
    """Wildcards, SQL, a NUL, a kilobyte, the neighbour's: refused, and he stays."""
    mine = device.alias
    names = (
        *(neighbour.alias, f"{neighbour.alias}~coc", "*", ">", "#", "+", "$SYS"),
        *(mine.upper(), f"{mine} ", f" {mine}", f"{mine}~COC", f"{mine}~coc~coc"),
        *(f"{mine}'; drop table registry.credential; --", "../custody", "a" * 1000),
        *(f"{mine}\0", f"{mine}\N{ZERO WIDTH SPACE}", "%s", mine[:-1], mine * 2),
    )

    async def steal() -> None:
        async with Line(site, neighbour) as line:
            for name in names:
                # 2 is the broker's own word for what could be no subject.
                assert await code(site, context(device), name) in {5, 2, None}, name
            good = Says(device=neighbour, seq=0).packet()
            line.say([good])
            await line.until(lambda: stored(site, neighbour) == digests([good]))
        assert await code(site, context(device), mine) == 0
        assert await code(site, context(device), f"{mine}~coc") == 0

    run(steal())
    until(lambda: audited(site, device) == ["clientid"])


def test_the_critical_connection_carries_nothing_else(
    site: Ward, device: Credential
) -> None:
    """``~coc`` publishes no telemetry and hears no receipt; the bulk one does both."""

    async def trespass() -> None:
        client = await dial(site, device, f"{device.alias}~coc")
        assert await client.connack == 0
        before = by_broker(site, "trespass")
        topic = f"telemetry/{device.alias}/vitals"
        client.send(mqtt_client.publish(topic, Says(device=device, seq=0).packet()))
        assert await client.subscribe(f"cmd/{device.alias}/#") == 128
        assert await client.subscribe(f"cmd/{device.alias}/coc-ack") == 0
        async with Line(site, device) as line:
            good = Says(device=device, seq=1).packet()
            line.say([good])
            await line.until(lambda: stored(site, device) == digests([good]))
        await asyncio.to_thread(until, lambda: by_broker(site, "trespass") > before)
        client.close()

    run(trespass())


def test_a_worker_is_kept_to_its_kinds_by_the_broker(
    site: Ward, device: Credential
) -> None:
    """A stolen worker says no vitals, waves, events or alarms; a rollup it may."""
    site.rows(
        "update registry.credential set profile = 'worker' where alias = %s",
        device.alias,
    )

    async def trespass() -> None:
        client = await dial(site, device)
        assert await client.connack == 0
        before = by_broker(site, "trespass")
        for number, kind in enumerate(("vitals", "wave", "event", "late")):
            said = Says(device=device, seq=number, kind=Kind[kind.upper()]).packet()
            topic = f"telemetry/{device.alias}/{kind}"
            client.send(mqtt_client.publish(topic, said))
        client.send(mqtt_client.publish(f"coc/{device.alias}", b"frame"))
        good = Says(device=device, seq=9, kind=Kind.ROLLUP).packet()
        client.send(mqtt_client.publish(f"telemetry/{device.alias}/rollup", good))
        await asyncio.to_thread(until, lambda: stored(site, device) == digests([good]))
        await asyncio.to_thread(
            until, lambda: by_broker(site, "trespass") == before + 5
        )
        client.close()
        assert await code(site, context(device), f"{device.alias}~coc") == 5

    run(trespass())


# --- what ends -------------------------------------------------------------


def test_both_connections_of_a_revoked_alias_close_within_two_seconds(
    site: Ward, device: Credential, neighbour: Credential
) -> None:
    """And neither comes back; the neighbour's stay, and are stored."""
    asked = {"alias": device.alias, "actor": "operator"}
    names = (device.alias, f"{device.alias}~coc")

    async def revoke() -> None:
        clients = [await dial(site, device, name) for name in names]
        others = [
            await dial(site, neighbour, f"{neighbour.alias}{end}")
            for end in ("", "~coc")
        ]
        for client in (*clients, *others):
            assert await client.connack == 0
        socket = site.site.root / "custody/desk.sock"
        await desk.call(socket, "credential.revoke", asked)
        loop = asyncio.get_running_loop()
        start = loop.time()
        assert all([await client.gone(2) for client in clients])
        assert loop.time() - start < 2
        for name in names:
            assert await code(site, context(device), name) == 5
        good = Says(device=neighbour, seq=0).packet()
        topic = f"telemetry/{neighbour.alias}/vitals"
        others[0].send(mqtt_client.publish(topic, good))
        await asyncio.to_thread(
            until, lambda: stored(site, neighbour) == digests([good])
        )
        assert all(client.is_open() for client in others)
        for client in others:
            client.close()

    run(revoke())
    until(lambda: audited(site, device) == ["revoked"])
    acts = "select act, actor from audit.entry where subject = %s order by n"
    assert site.rows(acts, device.alias)[-1] == ("credential.revoke", "operator")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (
            (
                "update registry.device d set state = 'suspended'"
                " from registry.binding b"
                " where b.device_no = d.device_no and b.binding_id = %s"
            ),
            "revoked",
        ),
        (
            (
                "update registry.binding set during = tstzrange(lower(during), now())"
                " where binding_id = %s"
            ),
            "revoked",
        ),
        (
            (
                "update registry.credential set valid = tstzrange(lower(valid),"
                " now() - interval '1 second') where binding_id = %s"
            ),
            "expired",
        ),
        (
            (
                "update registry.credential set serial = sha256(serial)"
                " where binding_id = %s"
            ),
            "certificate",
        ),
    ],
)
def test_who_is_put_out_of_use_does_not_come_in(
    site: Ward, device: Credential, neighbour: Credential, change: str, word: str
) -> None:
    """The registry is asked at each connect; nothing is decided from a memory."""
    assert run(code(site, context(device), device.alias)) == 0
    rows = site.rows(
        "select binding_id from registry.credential where alias = %s", device.alias
    )
    site.rows(change, rows[0][0])
    assert run(code(site, context(device), device.alias)) == 5
    until(lambda: audited(site, device) == [word])
    assert run(code(site, context(neighbour), neighbour.alias)) == 0
    assert site.rows("select * from audit.first_break()") == []
