"""Nobody is taken for another at the broker, whatever keys or names he has got."""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.support import mqtt_client as raw
from tests.support.attacker import secret
from tests.support.intruder import Gateway, Stage, digest, refusals, said, works
from tests.support.mqtt_client import Client
from tests.support.pki import Authority
from tests.support.site import until

from sealward import clock
from sealward.wire import tls
from sealward.wire.tls import Identity

ALIAS = "z" * 26  # that custody never gave to anybody


# --- who shakes hands --------------------------------------------------------


def _nobody(stage: Stage, _: Gateway, __: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(stage.root / "custody/service-ca.pem")
    return context


def _old_tls(_: Stage, own: Gateway, __: Path) -> ssl.SSLContext:
    context = own.context
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def _another_authority(stage: Stage, own: Gateway, folder: Path) -> ssl.SSLContext:
    anchor = stage.root / "custody/service-ca.pem"
    forger = Authority(folder, "Sealward device-ca")  # the name is no secret
    return tls.client(forger.identity(own.alias, trusts=anchor))


def _service(stage: Stage, _: Gateway, __: Path) -> ssl.SSLContext:
    folder = stage.root / "intake"
    return tls.client(
        Identity(
            certificate=folder / "tls.pem",
            key=folder / "tls.key",
            authority=folder / "service-ca.pem",
        )
    )


STRANGERS: Mapping[
    str, tuple[str, Callable[[Stage, Gateway, Path], ssl.SSLContext]]
] = {
    "without-a-certificate": ("certificate", _nobody),
    "of-another-authority": ("certificate", _another_authority),
    "with-a-services-certificate": ("certificate", _service),
    "with-tls-1.2": ("tls", _old_tls),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_does_not_get_as_far_as_mqtt(
    stage: Stage, own: Gateway, tmp_path: Path, name: str
) -> None:
    """The broker refuses him by itself, and its own log says why."""
    expected, made = STRANGERS[name]
    before = stage.broker.refusals()

    async def run() -> None:
        context = made(stage, own, tmp_path)
        with pytest.raises(OSError, match=r"."):
            await Client.dial(stage.broker.mqtt_port, context, own.alias)
        async with stage.session(own):
            pass

    asyncio.run(run())
    until(lambda: stage.broker.refusals()[expected] == before[expected] + 1)


# --- who connects ------------------------------------------------------------


def test_a_stolen_authority_admits_nobody_by_itself(stage: Stage, own: Gateway) -> None:
    """A certificate counts only as the registry has it: its key and its serial."""
    made = {
        "unknown": (ALIAS, secret()),
        "certificate": (own.alias, secret()),
        "serial": (own.alias, own.key),  # the right key, under another serial
    }
    shown = {
        name: (alias, key, stage.certified(alias, key))
        for name, (alias, key) in made.items()
    }

    async def run(context: ssl.SSLContext, name: str) -> int:
        client = await Client.dial(stage.broker.mqtt_port, context, name)
        client.close()
        return await client.connack

    words = refusals("connections", "unknown", "certificate", "certificate")
    with stage.counts("custody", *words):
        for alias, key, certificate in shown.values():
            assert asyncio.run(run(stage.shakes(certificate, key), alias)) == 5
    assert asyncio.run(run(own.context, own.alias)) == 0
    whys = {name: stage.whys(certificate) for name, (*_, certificate) in shown.items()}
    assert whys == {
        "unknown": ["unknown"],
        "certificate": ["certificate"],
        "serial": ["certificate"],
    }


@pytest.mark.parametrize("suffix", ["", "~coc"])
def test_a_stolen_client_id_cuts_nobody_off(
    stage: Stage, thief: Gateway, suffix: str
) -> None:
    """MQTT would end the victim's connection; the victim is heard as before."""
    own = stage.gateway()

    async def run() -> None:
        async with stage.session(own) as victim:
            await works(stage, own, victim, 0)
            client = await stage.connect(thief, own.alias + suffix)
            assert await client.connack == 5
            client.close()
            await works(stage, own, victim, 1)
            assert victim.is_open()

    with stage.counts("custody", *refusals("connections", "clientid")):
        asyncio.run(run())
    until(lambda: "clientid" in stage.whys(thief.bed.identity.certificate))


def test_a_gateway_is_heard_on_its_own_topics_alone(
    stage: Stage, thief: Gateway
) -> None:
    """On another's it says nothing to anybody, genuine packets of its victim too."""
    own = stage.gateway()
    slot = own.slot(int(clock.now().timestamp() * 1000))
    before = stage.broker.refusals()["trespass"]
    genuine = own.packet(0, slot=slot)
    topics = [own.topic(), own.topic("alarm"), f"coc/{own.alias}", f"live/{own.alias}"]

    async def run() -> None:
        async with stage.session(thief) as client, stage.session(own) as victim:
            for number, topic in enumerate(topics):
                client.send(raw.publish(topic, genuine, 100 + number))
            for topic in (f"cmd/{own.alias}/#", "telemetry/#", "#", "live/+"):
                assert await client.subscribe(topic) == 128
            await works(stage, thief, client, 0)
            assert not stage.stored(own.cred)
            await works(stage, own, victim, 0)

    asyncio.run(run())
    until(lambda: stage.broker.refusals()["trespass"] >= before + len(topics))
    assert not stage.refused(own.cred)


# --- who may no longer -------------------------------------------------------


def test_a_revoked_gateway_is_cut_off_at_once(stage: Stage, own: Gateway) -> None:
    """Both connections close within two seconds, and no other opens."""
    lost = stage.gateway()
    revoke = {"alias": lost.alias, "actor": "the ward's technician"}

    async def run() -> None:
        async with stage.session(lost) as client, stage.session(own) as other:
            second = await stage.connect(lost, f"{lost.alias}~coc")
            assert await second.connack == 0
            await works(stage, lost, client, 0)
            began = time.monotonic()
            assert await asyncio.to_thread(stage.ask, "credential.revoke", revoke) == ""
            assert await client.gone(2)
            assert await second.gone(2 - (time.monotonic() - began))
            again = await stage.connect(lost)
            assert await again.connack == 5
            again.close()
            assert other.is_open()

    with stage.counts("custody", *refusals("connections", "revoked")):
        asyncio.run(run())
    until(lambda: stage.whys(lost.bed.identity.certificate) == ["revoked"])
    assert len(stage.audited("credential.revoke", lost.alias)) == 1
    assert stage.ask("credential.revoke", revoke) == "unknown", "it ends once"


def test_an_ended_credential_is_over_everywhere(stage: Stage, own: Gateway) -> None:
    """Custody admits no other connection of it, and intake no packet."""
    late = stage.gateway()
    forgotten = late.packet(1, slot=late.slot(int(clock.now().timestamp() * 1000)))

    async def run() -> None:
        async with stage.session(late) as client, stage.session(own):
            await works(stage, late, client, 0)
            await asyncio.to_thread(stage.end, late.alias)
            await asyncio.sleep(0.5)  # intake reads the registry anew at its notice
            await said(client, late.topic(), forgotten)
            again = await stage.connect(late)
            assert await again.connack == 5
            again.close()

    with (
        stage.counts("intake", *refusals("packets", "expired")),
        stage.counts("custody", *refusals("connections", "expired")),
    ):
        asyncio.run(run())
    until(lambda: stage.whys(late.bed.identity.certificate) == ["expired"])
    until(lambda: stage.refused(late.cred).get("expired") == (1, digest(forgotten)))
    assert forgotten not in stage.stored(late.cred).values()
