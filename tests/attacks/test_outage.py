"""Who is rude is hung up on, what is away lets nobody in, and neighbours go on."""

import asyncio
from collections.abc import Mapping

import pytest
from tests.support import mqtt_client as raw
from tests.support.intruder import Gateway, Stage, works
from tests.support.site import until

from sealward import clock

RUDE: Mapping[str, tuple[str, int]] = {  # the broker's word, and bytes beyond a packet
    "qos-2": ("qos", 0),
    "larger-than-64-KiB": ("oversize", 1 << 16),
}


@pytest.mark.parametrize("name", RUDE)
def test_who_is_rude_is_hung_up_on(stage: Stage, thief: Gateway, name: str) -> None:
    """The broker's log counts it, nothing of it is stored, a neighbour is heard."""
    word, more = RUDE[name]
    own = stage.gateway()
    packet = thief.packet(9, slot=thief.slot(int(clock.now().timestamp() * 1000)))
    before = stage.broker.refusals()[word]

    async def run() -> None:
        async with stage.session(own) as neighbour:
            async with stage.session(thief) as client:
                qos = 2 if name == "qos-2" else 1
                payload = packet + bytes(more)
                client.send(raw.publish(thief.topic(), payload, qos=qos))
                assert await client.gone()
            await works(stage, own, neighbour, 0)
            assert neighbour.is_open()

    asyncio.run(run())
    until(lambda: stage.broker.refusals()[word] == before + 1)
    assert packet not in stage.stored(thief.cred).values()


def test_without_custody_nobody_new_comes_in(stage: Stage, thief: Gateway) -> None:
    """Who is in stays in and is heard; when custody is back, so are the others."""
    own = stage.gateway()
    before = stage.broker.refusals()["auth"]

    async def run() -> None:
        async with stage.session(own) as client:
            await works(stage, own, client, 0)
            await asyncio.to_thread(stage.stop, "custody")
            try:
                late = await stage.connect(thief)
                assert await late.connack == 5
                late.close()
                await works(stage, own, client, 1)
                assert client.is_open()
            finally:
                await asyncio.to_thread(stage.restart, "custody")
            await works(stage, own, client, 2)

    asyncio.run(run())
    assert stage.broker.refusals()["auth"] > before

    async def again() -> int:
        client = await stage.connect(thief)
        client.close()
        return await client.connack

    until(lambda: asyncio.run(again()) == 0)
