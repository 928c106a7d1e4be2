"""The wire against a real broker: who gets in, what gets through, what is not lost."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support import mqtt_client as raw
from tests.support.house import Door, House, until
from tests.support.mqtt_client import Client
from tests.support.pki import SERVER, pin

from sealward.errors import UnavailableError
from sealward.wire import admission, bus, live, telemetry, tls
from sealward.wire.bus import Bus
from sealward.wire.mqtt import Uplink
from sealward.wire.telemetry import Delivery, Ingress
from sealward.wire.topics import Alias, TrespassError

A, B = Alias("a" * 26), Alias("b" * 26)
OWN = f"telemetry/{A}/vitals"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a running broker, shared by these tests, with its stream."""
    house = House(tmp_path_factory.mktemp("house"))

    async def provisioned() -> None:
        async with await house.bus("prov") as prov:
            await telemetry.provision(prov)
            await telemetry.provision(prov)  # which changes nothing

    asyncio.run(provisioned())
    yield house
    house.broker.stop()


async def take(ingress: Ingress, number: int, seconds: float = 5) -> list[Delivery]:
    """Return the next *number* packets, acknowledged; fewer if no more come."""
    taken: list[Delivery] = []
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while len(taken) < number and loop.time() < end:
        for delivery in await ingress.batch(number - len(taken)):
            taken.append(delivery)
            await delivery.ack()
    return taken


async def stored(prov: Bus) -> int:
    """Return how many packets are in the stream: PUBACK proves nothing."""
    await prov.flush()
    info = await prov.client.jetstream().stream_info("TELEMETRY")
    return info.state.messages


def test_a_device_is_admitted_and_its_packets_reach_the_door(house: House) -> None:
    """The whole way: TLS, callout, topic, stream, partition, delivery."""

    async def run() -> None:
        async with Door(house) as door:
            a = await door.dial(A)
            assert await a.connack == 0
            assert a.transport.get_extra_info("cipher")[0] == "TLS_AES_128_GCM_SHA256"
            a.send(raw.publish(OWN, b"packet"))
            [delivery] = await take(Ingress(await door.bus("intake")), 1)
            assert (delivery.alias, delivery.kind_name) == (A, "vitals")
            assert delivery.body == b"packet"
            [request] = door.requests
            assert (request.client_id, request.tls_version) == (A, "1.3")
            a.close()

    asyncio.run(run())


@pytest.mark.parametrize("client_id", [A, f"{A}~coc", f"{B}~x", "x"])
def test_nobody_takes_anothers_client_id(house: House, client_id: str) -> None:
    """MQTT ends the older connection of a client id: the victim would be cut off."""

    async def run() -> None:
        async with Door(house) as door:
            victims = [await door.dial(A), await door.dial(A, f"{A}~coc")]
            thief = await door.dial(B, client_id)
            assert await thief.connack == 5
            assert door.refusals == ["clientid"]
            assert all(victim.is_open() for victim in victims)
            assert await victims[0].subscribe(f"cmd/{A}/#") == 0
            for client in (*victims, thief):
                client.close()

    asyncio.run(run())


def test_a_device_is_heard_under_its_own_topics_alone(house: House) -> None:
    """With a positive control in the same run, and the stream is asked."""

    async def run() -> None:
        heard: list[str] = []

        async def hear(message: bus.Message) -> None:
            heard.append(message.subject)

        async with Door(house) as door:
            ward, prov = await door.bus("ward"), await door.bus("prov")
            for subject in ("coc.*", "live.*"):
                await ward.subscribe(subject, hear)
            await ward.flush()
            before = house.broker.refusals()["trespass"]
            b = await door.dial(B)
            foreign = [OWN, f"telemetry/{B}/a/b", f"coc/{A}", f"live/{B}"]
            foreign += [f"cmd/{B}/coc-ack", "$SYS/x", f"telemetry/{B}.x/vitals"]
            for topic in [*foreign, f"telemetry/{B}/vitals", f"coc/{B}"]:
                b.send(raw.publish(topic, b"x"))
            await until(lambda: len(b.acks) == 9)
            [delivery] = await take(Ingress(await door.bus("intake")), 2, 0.3)
            assert (delivery.alias, delivery.kind_name) == (B, "vitals")
            assert heard == [f"coc.{B}"]
            assert b.is_open(), "a trespass is dropped, the connection stays"
            assert await stored(prov) == 0
            await until(lambda: house.broker.refusals()["trespass"] >= before + 6)
            b.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "topic", [f"cmd/{A}/#", f"cmd/{A}/receipt", "#", "+/+", "$SYS/#", "live/#", "coc/+"]
)
def test_a_device_hears_nothing_of_others(house: House, topic: str) -> None:
    """SUBACK 128, while its own commands are granted."""

    async def run() -> None:
        async with Door(house) as door:
            b = await door.dial(B)
            assert await b.subscribe(topic) == 128
            assert await b.subscribe(f"cmd/{B}/#") == 0
            coc = await door.dial(B, f"{B}~coc")
            assert await coc.subscribe(f"cmd/{B}/#") == 128
            assert await coc.subscribe(f"cmd/{B}/coc-ack") == 0
            b.close()
            coc.close()

    asyncio.run(run())


def test_each_connection_says_only_what_it_is_for(house: House) -> None:
    """The COC connection stores nothing; a worker stores what is derived."""

    async def run() -> None:
        async with Door(house) as door:
            door.workers.add(B)
            coc, worker = await door.dial(A, f"{A}~coc"), await door.dial(B)
            assert await (await door.dial(B, f"{B}~coc")).connack == 5
            coc.send(raw.publish(OWN, b"x", qos=0))
            for kind in ("vitals", "key", "rollup", "wave", "bundle", "seal"):
                worker.send(raw.publish(f"telemetry/{B}/{kind}", b"x"))
            taken = await take(Ingress(await door.bus("intake")), 9, 0.5)
            kinds = sorted(delivery.kind_name for delivery in taken)
            assert kinds == ["bundle", "key", "rollup", "seal"]
            assert await worker.subscribe(f"cmd/{B}/#") == 128
            assert await worker.subscribe(f"cmd/{B}/receipt") == 0
            coc.close()
            worker.close()

    asyncio.run(run())


def contexts(house: House) -> dict[str, ssl.SSLContext]:
    """Return ways in which no connection should come about, by name."""
    nobody = ssl.create_default_context(cafile=house.pki.services.path)
    device = house.device(A)
    old = ssl.create_default_context(cafile=house.pki.services.path)
    old.load_cert_chain(device.certificate, device.key)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    trusts, devices = house.pki.services.path, house.pki.devices
    past = devices.now - timedelta(days=30)
    return {
        "no certificate": nobody,
        "TLS 1.2": old,
        "another CA": tls.client(house.pki.strangers.identity(A, trusts=trusts)),
        "a service": tls.client(house.identity),
        "a server": tls.client(devices.identity(A, usage=SERVER, trusts=trusts)),
        "expired": tls.client(devices.identity(A, since=past, trusts=trusts)),
    }


def test_a_stranger_does_not_get_as_far_as_mqtt(house: House) -> None:
    """Nor does he reach the callout: the broker itself counts him."""

    async def run() -> None:
        async with Door(house) as door:
            before = house.broker.refusals()
            for context in contexts(house).values():
                with pytest.raises(OSError, match=r"."):
                    await Client.dial(house.broker.mqtt_port, context, A)
            assert not door.requests
            await until(lambda: (house.broker.refusals() - before).total() == 6)
            counted = house.broker.refusals() - before
            assert counted["certificate"] == 5
            assert counted["tls"] == 1

    asyncio.run(run())


def test_a_device_does_not_come_in_by_the_service_door(house: House) -> None:
    """Two anchors: a stolen gateway's certificate opens no service port."""

    async def run() -> None:
        for identity, key in (
            (house.device(A), house.keys["intake"]),
            (house.identity, house.issuer),
        ):
            with pytest.raises(UnavailableError):
                await bus.connect(
                    house.broker.service_url,
                    identity,
                    key,
                    name="thief",
                    patience=0.5,
                )

    asyncio.run(run())


def test_a_service_does_only_what_it_is_for(house: House) -> None:
    """The broker's permissions are a second fence behind our code."""

    async def run() -> None:
        async with Door(house) as door:
            refused: list[Exception] = []
            intake = await door.bus("intake", refused.append)
            analyst = await door.bus("analyst", refused.append)
            ward = await door.bus("ward", refused.append)
            tries = [
                intake.publish(f"cmd.{A}.standdown", b"x"),
                intake.publish("$JS.API.STREAM.CREATE.OTHER", b"{}"),
                intake.publish("$JS.API.STREAM.DELETE.TELEMETRY", b""),
                analyst.publish(f"live.{A}", b"x"),
                ward.publish(f"telemetry.{A}.vitals", b"x"),
                ward.publish(f"coc.{A}", b"x"),
            ]
            for trying in tries:
                await trying
            for service in (intake, analyst, ward):
                await service.subscribe("telemetry.>", _nothing)
                await service.flush()
            await until(lambda: len(refused) >= 9)
            assert {type(error) for error in refused} == {TrespassError}
            assert intake.connected
            assert analyst.connected

    asyncio.run(run())


async def _nothing(_: bus.Message) -> None:
    """Hear and do nothing."""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (raw.publish(OWN, b"x", qos=2), "qos"),
        (raw.publish(OWN, bytes(70_000)), "oversize"),
        (b"\x30\xff\xff\xff\xff\xff", "malformed"),
        (raw.connect(A), None),
    ],
)
def test_a_rude_device_is_hung_up_on(
    house: House, said: bytes, reason: str | None
) -> None:
    """And its neighbour does not notice."""

    async def run() -> None:
        async with Door(house) as door:
            before = house.broker.refusals()
            a, b = await door.dial(A), await door.dial(B)
            a.send(said)
            assert await a.gone()
            assert await b.subscribe(f"cmd/{B}/#") == 0
            if reason:
                await until(
                    lambda: house.broker.refusals()[reason] == before[reason] + 1
                )
            b.close()

    asyncio.run(run())


def test_a_kick_closes_every_connection_of_an_alias(house: House) -> None:
    """Revocation counts at once, not at the next connect."""

    async def run() -> None:
        async with Door(house) as door:
            victims = [await door.dial(A), await door.dial(A, f"{A}~coc")]
            b = await door.dial(B)
            loop = asyncio.get_running_loop()
            start = loop.time()
            kick = asyncio.create_task(
                admission.kick(door.sys, [A, f"{A}~coc"], again=[0.3])
            )
            for victim in victims:
                assert await victim.gone()
            assert loop.time() - start < 0.5
            late = await door.dial(A)  # admitted before the revocation, say
            assert await late.gone()
            assert await kick == 3
            assert b.is_open()
            b.close()
            session = door.requests[-1].server_id, door.requests[0].cid
            assert await admission.kick(door.sys, [], [session], again=[]) == 1

    asyncio.run(run())


def test_an_admission_ends(house: House) -> None:
    """No longer than the credential is a connection open."""

    async def run() -> None:
        async with Door(house, lasts=timedelta(seconds=1.5)) as door:
            a = await door.dial(A)
            assert await a.gone(3)

    asyncio.run(run())


def test_without_a_worker_nobody_new_comes_in(house: House) -> None:
    """Fails closed, and whoever is in stays in; one of two workers is enough."""

    async def run() -> None:
        async with Door(house) as first:
            async with Door(house) as second:
                a = await second.dial(A)
                await first.admission.close()
                other = await second.dial(B)
                assert await other.connack == 0
            assert await (await first.dial(B)).connack == 5
            assert a.is_open()
            a.close()
            other.close()

    asyncio.run(run())


def test_a_worker_that_breaks_answers_nothing(house: House) -> None:
    """An exception of the decision is a refusal, and the worker lives."""

    async def run() -> None:
        failures: list[BaseException] = []

        async def breaks(_: admission.Request) -> admission.Grant:
            raise ZeroDivisionError

        async with await house.bus("auth") as auth, await house.bus("sys") as sys:
            worker = await admission.serve(
                auth, sys, house.issuer, breaks, on_failed=failures.append
            )
            context = tls.client(house.device(A))
            a = await Client.dial(house.broker.mqtt_port, context, A)
            assert await a.connack == 5
            assert [type(failure) for failure in failures] == [ZeroDivisionError]
            await worker.close()

    asyncio.run(run())


def test_partitions_are_the_brokers_own(house: House) -> None:
    """All packets of an alias reach one intake process, and we know which."""

    async def run() -> None:
        aliases = [Alias(f"{n:026d}") for n in range(24)]
        async with Door(house) as door:
            for alias in aliases:
                device = await door.dial(alias)
                device.send(raw.publish(f"telemetry/{alias}/vitals", b"x"))
                await until(lambda device=device: bool(device.acks))  # type: ignore[misc]
                device.close()
            taken = await take(Ingress(await door.bus("intake")), 24)
            found = {delivery.alias: delivery.partition for delivery in taken}
            assert found == {alias: telemetry.partition(alias) for alias in aliases}
            assert len(set(found.values())) == 8

    asyncio.run(run())


def test_a_thousand_packets_arrive_once_and_in_order(house: House) -> None:
    """And what is not acknowledged, or is refused, is not lost or stuck."""

    async def run() -> None:
        async with Door(house) as door:
            a, prov = await door.dial(A), await door.bus("prov")
            for n in range(1000):
                a.send(raw.publish(OWN, n.to_bytes(4, "big") * 75, n + 1))
            async with Ingress(await door.bus("intake")) as ingress:
                taken: list[Delivery] = []
                while len(taken) < 1000:
                    taken += await ingress.batch(300)
                numbers = [int.from_bytes(t.body[:4], "big") for t in taken]
                assert numbers == [*range(1000)]
                await taken.pop().term()
                for delivery in taken:
                    await delivery.ack()
            a.close()
            for _ in range(100):
                if not await stored(prov):
                    break
                await asyncio.sleep(0.02)
            assert await stored(prov) == 0

    asyncio.run(run())


def test_a_puback_promises_nothing(tmp_path: Path) -> None:
    """A full stream drops what it acknowledges; drained, it takes again."""
    small = House(tmp_path)

    async def run() -> None:
        async with Door(small) as door:
            prov = await door.bus("prov")
            await telemetry.provision(prov, max_bytes=40_000)
            a = await door.dial(A)
            for n in range(200):
                a.send(raw.publish(OWN, bytes(600), n + 1))
            await until(lambda: len(a.acks) == 200)
            left = await stored(prov)
            assert 40 <= left <= 66
            assert a.is_open()
            ingress = Ingress(await door.bus("intake"))
            assert len(await take(ingress, 200, 0.3)) == left
            a.send(raw.publish(OWN, b"again", 999))
            [delivery] = await take(ingress, 1)
            assert delivery.body == b"again"
            a.close()

    try:
        asyncio.run(run())
    finally:
        small.broker.stop()


def test_live_readers_hear_what_was_admitted(house: House) -> None:
    """Once, without a store; everyone hears, or only about whom he asked."""

    async def run() -> None:
        heard: dict[str, list[tuple[str, bytes]]] = {"ward": [], "analyst": []}
        async with Door(house) as door:
            intake = await door.bus("intake")
            for service, aliases in (("ward", None), ("analyst", [A])):

                async def hear(alias: Alias, body: bytes, who: str = service) -> None:
                    heard[who].append((alias, body))

                reader = await door.bus(service)
                await live.subscribe(reader, aliases, hear)
                await reader.flush()
            for alias in (A, B):
                await live.publish(intake, alias, b"packet")
            await until(lambda: len(heard["ward"]) == 2 and bool(heard["analyst"]))
            assert heard["analyst"] == [(A, b"packet")]

    asyncio.run(run())


def test_an_uplink_and_the_services_outlive_the_broker(tmp_path: Path) -> None:
    """Killed and started again, it is found by all, and what was stored is there."""
    house = House(tmp_path)
    heard: list[tuple[str, bytes]] = []

    async def run() -> None:
        async with Door(house) as door:
            await telemetry.provision(await door.bus("prov"))
            intake = await door.bus("intake")
            uplink = await Uplink.connect(
                "localhost",
                house.broker.mqtt_port,
                A,
                house.device(A),
                [pin(house.pki.server)],
                lambda topic, payload: heard.append((topic, payload)),
                bounds=(0.2, 0.5),
            )
            assert uplink.connected, uplink.trouble
            for n in range(20):
                uplink.publish(OWN, bytes([n]))
            async with Ingress(intake) as ingress:
                while len(got := await ingress.batch(20)) < 20:
                    pass  # nothing of it is acknowledged
                assert [delivery.body[0] for delivery in got] == [*range(20)]
            house.restart()
            await until(lambda: not uplink.connected)
            with pytest.raises(UnavailableError):
                uplink.publish(OWN, b"x")
            await until(lambda: uplink.connected and intake.connected)
            uplink.publish(OWN, b"after")
            await intake.publish(f"cmd.{A}.receipt", b"receipt")
            await until(lambda: heard == [(f"cmd/{A}/receipt", b"receipt")])
            async with Ingress(intake) as ingress:
                bodies: set[bytes] = set()
                async with asyncio.timeout(5):
                    while b"after" not in bodies:  # of the others some come at once
                        bodies |= {d.body for d in await ingress.batch()}
            await uplink.close()
            assert not uplink.connected

    try:
        asyncio.run(run())
    finally:
        house.broker.stop()


def test_an_uplink_believes_pinned_keys_alone(house: House) -> None:
    """A certificate of our own authority is not enough: pins outlive its theft."""

    async def run() -> None:
        async with Door(house) as door:
            for pins, trouble in (
                ([bytes(32)], tls.PinError),
                ([bytes(32), pin(house.pki.server)], type(None)),
            ):
                uplink = await Uplink.connect(
                    "localhost",
                    house.broker.mqtt_port,
                    A,
                    house.device(A),
                    pins,
                    lambda _, __: None,
                )
                assert type(uplink.trouble) is trouble
                assert uplink.connected is (trouble is type(None))
                await uplink.close()
            assert len(door.requests) == 1, "CONNECT was said to the right one alone"

    asyncio.run(run())


def test_a_bus_believes_pinned_keys_alone(house: House) -> None:
    """Services pin the broker too."""

    async def run() -> None:
        url, key = house.broker.service_url, house.keys["ward"]
        with pytest.raises(tls.PinError):
            await bus.connect(
                url, house.identity, key, name="w", pins=[bytes(32)], patience=0.5
            )
        pins = [pin(house.pki.server)]
        async with await bus.connect(
            url, house.identity, key, name="w", pins=pins
        ) as right:
            assert right.connected

    asyncio.run(run())


def test_questions_have_one_answer_or_several(house: House) -> None:
    """And none is told apart from a late one."""

    async def run() -> None:
        async with await house.bus("sys") as sys:
            assert b'"id"' in (await sys.request("$SYS.REQ.SERVER.PING", b"")).data
            async with aclosing(sys.replies("$SYS.REQ.SERVER.PING", b"")) as answers:
                assert len([answer async for answer in answers]) == 1
            with pytest.raises(UnavailableError):
                await sys.request("$SYS.REQ.SERVER.NOBODY.KICK", b"{}", 0.2)

    asyncio.run(run())
