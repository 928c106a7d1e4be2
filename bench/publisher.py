"""Gateways in a process of their own, which publish what they are told to.

Started with a manifest; says ``ready`` once all are connected. For each path on its
standard input it publishes the packets in that file and says ``done``.
"""

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.support import mqtt_client
from tests.support.mqtt_client import Client

from sealward.wire import tls
from sealward.wire.tls import Identity

WINDOW = 20  # unacknowledged packets of a gateway, as the product has it
_ALIAS, _SIZE = 26, 2  # bytes, of a packet's alias and of its length


def write(path: Path, packets: Iterable[tuple[str, bytes]]) -> None:
    """Write (alias, packet) to *path* for a publisher to send."""
    parts = [
        alias.encode() + len(packet).to_bytes(_SIZE) + packet
        for alias, packet in packets
    ]
    path.write_bytes(b"".join(parts))


def _read(path: Path) -> Iterator[tuple[str, bytes]]:
    data, at = path.read_bytes(), 0
    while at < len(data):
        body = at + _ALIAS + _SIZE
        end = body + int.from_bytes(data[at + _ALIAS : body])
        yield data[at : at + _ALIAS].decode(), data[body:end]
        at = end


def manifest(port: int, devices: dict[str, Identity]) -> str:
    """Return what a publisher is started with."""
    paths = {
        alias: [str(each.certificate), str(each.key), str(each.authority)]
        for alias, each in devices.items()
    }
    return json.dumps({"port": port, "devices": paths})


async def _publish(client: Client, alias: str, packets: Sequence[bytes]) -> None:
    """Publish *packets*, QoS 1, as a gateway does."""
    before = len(client.acks)
    for number, packet in enumerate(packets):
        while before + number - len(client.acks) >= WINDOW:  # noqa: ASYNC110 - it counts
            await asyncio.sleep(0.001)
        topic = f"telemetry/{alias}/vitals"
        client.send(mqtt_client.publish(topic, packet, number + 1))
    while len(client.acks) < before + len(packets):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)


async def _main(told: str) -> None:
    given = json.loads(told)
    clients = {}
    for alias, paths in given["devices"].items():
        certificate, key, authority = map(Path, paths)
        identity = Identity(certificate=certificate, key=key, authority=authority)
        clients[alias] = await Client.dial(given["port"], tls.client(identity), alias)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        packets: dict[str, list[bytes]] = defaultdict(list)
        for alias, packet in _read(Path(line.strip())):
            packets[alias].append(packet)
        await asyncio.gather(
            *(
                _publish(clients[alias], alias, these)
                for alias, these in packets.items()
            )
        )
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
