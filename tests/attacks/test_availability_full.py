"""A broker that an attacker has filled: it drops in silence, and spools remember."""

import asyncio
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support import mqtt_client as raw
from tests.support.house import Door, House, until
from tests.support.sender import EPOCH, NOON, Sender

from sealward.seal import envelope
from sealward.wire import telemetry
from sealward.wire.spool import Spool
from sealward.wire.telemetry import Delivery, Ingress
from sealward.wire.topics import Alias

HONEST = Sender()
ATTACKER = Alias("b" * 26)
COUNT = 12
MINUTE = 60_000


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Return a broker of this test's own, to be filled."""
    made = House(tmp_path / "house")
    yield made
    made.broker.stop()


async def drained(ingress: Ingress) -> list[Delivery]:
    """Return all that the stream holds, acknowledged."""
    taken: list[Delivery] = []
    while more := await ingress.batch(500, 0.3):
        taken += more
        for delivery in more:
            await delivery.ack()
    return taken


class Gateway:
    """An honest gateway's spool, and the server's receipts for what arrived."""

    def __init__(self, folder: Path) -> None:
        self.alias = Alias(HONEST.alias)
        self.spool = Spool(folder / "spool.db")
        self.spool.open_credential(self.alias, EPOCH)
        for _ in range(COUNT):
            self.spool.put(self.alias, EPOCH, 0, HONEST.packet, at_ms=NOON)
        self.arrived: list[bytes] = []

    async def send(self, client: raw.Client, at: int) -> int:
        """Send what is due *at* and wait for each PUBACK; return how many."""
        rows, before = self.spool.window(self.alias, at), len(client.acks)
        topic = f"telemetry/{self.alias}/vitals"
        for row in rows:
            client.send(raw.publish(topic, row.body, row.seq + 1))
        await until(lambda: len(client.acks) == before + len(rows))
        self.spool.sent(rows, at)
        return len(rows)

    def receipted(self, taken: list[Delivery]) -> int:
        """Receipt all of this gateway that has arrived; return how many are marked."""
        self.arrived += [d.body for d in taken if d.alias == self.alias]
        bodies = {envelope.read(body).seq: body for body in self.arrived}
        upto = next(n for n in range(COUNT + 1) if n not in bodies)
        last = sha256(bodies[upto - 1]).digest() if upto else b""
        self.spool.receipt(self.alias, EPOCH, upto, [], last, NOON)
        return self.spool.states()["marked"]


def test_a_full_broker_costs_time_and_no_packet(house: House, tmp_path: Path) -> None:
    """Dropped though acknowledged, so not receipted, so sent again: complete, once."""
    gateway = Gateway(tmp_path)

    async def attack() -> None:
        async with Door(house) as door:
            await telemetry.provision(await door.bus("prov"), max_bytes=40_000)
            ingress = Ingress(await door.bus("intake"))
            attacker = await door.dial(ATTACKER)
            honest = await door.dial(gateway.alias)
            flood = f"telemetry/{ATTACKER}/vitals"
            for number in range(200):
                attacker.send(raw.publish(flood, bytes(600), number + 1))
            await until(lambda: len(attacker.acks) == 200)
            assert await gateway.send(honest, NOON) == COUNT
            dropped = COUNT - gateway.receipted(await drained(ingress))
            assert dropped > 0
            assert gateway.spool.missing(gateway.alias, EPOCH) == []
            assert await gateway.send(honest, NOON + MINUTE) == dropped
            assert gateway.receipted(await drained(ingress)) == COUNT
            assert await gateway.send(honest, NOON + 10 * MINUTE) == 0
            assert attacker.is_open()
            assert honest.is_open()
            attacker.close()
            honest.close()

    asyncio.run(attack())
    assert len(gateway.arrived) == COUNT
    assert {envelope.read(body).seq for body in gateway.arrived} == set(range(COUNT))
    gateway.spool.close()
