"""(c) What the broker's receive costs besides; (e) MQTT beside HTTPS.

Both sides speak TLS 1.3 with certificates of both ends over loopback, one packet of a
minute a message, and every byte is counted by a relay in between.
"""

import asyncio
import http.client
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.table import Row
from tests.support import mqtt_client
from tests.support.house import Door, House
from tests.support.mqtt_client import Client

from sealward.wire import tls
from sealward.wire.telemetry import Ingress, provision
from sealward.wire.topics import Alias

SECTION, RECEIVE = "e transport", "c ingest"
ALIAS = Alias("k3v9q0d2m7x5c1p8r4t6w0y2za")
TOPIC = f"telemetry/{ALIAS}/vitals"
PACKET = os.urandom(164)  # as large as a minute of four vitals is on the mean
RECEIVED = 6000
OPEN, AGAIN = 1000, 60  # messages over one connection, and with one each
TICK = os.sysconf("SC_CLK_TCK")
HEADERS = {"Content-Type": "application/octet-stream"}

SERVER = """
import http.server, ssl, sys
class Take(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.minimum_version = ssl.TLSVersion.TLSv1_3
context.verify_mode = ssl.CERT_REQUIRED
context.load_cert_chain(sys.argv[1], sys.argv[2])
context.load_verify_locations(sys.argv[3])
server = http.server.HTTPServer(("127.0.0.1", 0), Take)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def busy(pid: int) -> float:
    """Return the CPU seconds that *pid* has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Relay:
    """Passes bytes on to a port of loopback, and counts them, both ways."""

    def __init__(self, port: int) -> None:
        self.bytes = 0
        self._port = port

    async def start(self) -> int:
        """Listen; return the port."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self._server = server
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _take(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while data := await reader.read(65536):
                self.bytes += len(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def stop(self) -> None:
        """Listen no more."""
        self._server.close()


async def received(house: House) -> Iterator[Row]:
    """Measure what it costs to pull and acknowledge a packet."""
    async with Door(house) as door:
        await provision(await door.bus("prov"))
        client = await door.dial(ALIAS)
        for number in range(RECEIVED):
            client.send(mqtt_client.publish(TOPIC, PACKET, number % 60_000 + 1))
            if number % 200 == 0:
                await asyncio.sleep(0.02)
        async with asyncio.timeout(60):
            while len(client.acks) < RECEIVED:  # noqa: ASYNC110 - the client counts
                await asyncio.sleep(0.02)
        client.close()
        ingress = Ingress(await door.bus("intake"))
        before, mine = busy(house.broker.pid), os.times()
        taken = 0
        for _ in range(400):  # and no longer, should the broker lose one
            if taken == RECEIVED:
                break
            for delivery in await ingress.batch(1000, 0.05):
                taken += 1
                await delivery.ack()
        after = os.times()
        ours = after.user + after.system - mine.user - mine.system
        theirs = busy(house.broker.pid) - before
        await ingress.close()
    figures = {"this process": ours, "the broker": theirs}
    return iter(
        Row(
            section=RECEIVE,
            what=f"broker receive besides: pull and acknowledge, {who}",
            value=seconds / RECEIVED * 1e6,
            unit="us/packet",
        )
        for who, seconds in figures.items()
    )


class Both:
    """The two ways of sending, each through a relay of its own."""

    def __init__(self, house: House, web: subprocess.Popen[str], port: int) -> None:
        self.house, self.web = house, web
        identity = house.pki.device(ALIAS)
        self.context = tls.client(identity)
        self.mqtt, self.https = Relay(house.broker.mqtt_port), Relay(port)
        self.ports = (0, 0)

    async def start(self) -> None:
        """Start the relays."""
        self.ports = (await self.mqtt.start(), await self.https.start())

    async def by_mqtt(self, messages: int, *, reconnect: bool) -> None:
        """Send *messages*, QoS 1, each acknowledged before the next."""
        client = None
        for number in range(messages):
            if client is None or reconnect:
                if client is not None:
                    client.close()
                client = await Client.dial(self.ports[0], self.context, ALIAS)
                assert await client.connack == 0
            have = len(client.acks)
            client.send(mqtt_client.publish(TOPIC, PACKET, number + 1))
            async with asyncio.timeout(10):
                while len(client.acks) == have:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0)
        if client is not None:
            client.close()

    def by_https(self, messages: int, *, reconnect: bool) -> None:
        """Send *messages* by POST, each answered before the next."""
        connection: http.client.HTTPSConnection | None = None
        for _ in range(messages):
            if connection is None or reconnect:
                if connection is not None:
                    connection.close()
                connection = http.client.HTTPSConnection(
                    "localhost", self.ports[1], context=self.context, timeout=10
                )
            connection.request("POST", f"/{TOPIC}", PACKET, HEADERS)
            connection.getresponse().read()
        if connection is not None:
            connection.close()


async def compared(both: Both) -> list[Row]:
    """Send the same packets both ways, over one connection and with one each."""
    found: list[Row] = []
    await both.start()
    await both.by_mqtt(20, reconnect=False)
    await asyncio.to_thread(both.by_https, 20, reconnect=False)
    for name, messages, reconnect in (
        ("one open connection", OPEN, False),
        ("a connection each", AGAIN, True),
    ):
        cost: dict[str, tuple[float, float]] = {}
        for way, relay, pid in (
            ("MQTT", both.mqtt, both.house.broker.pid),
            ("HTTPS", both.https, both.web.pid),
        ):
            relay.bytes, before = 0, busy(pid)
            if way == "MQTT":
                await both.by_mqtt(messages, reconnect=reconnect)
            else:
                await asyncio.to_thread(both.by_https, messages, reconnect=reconnect)
            await asyncio.sleep(0.2)
            cost[way] = (relay.bytes / messages, (busy(pid) - before) / messages)
        for way, (sent, seconds) in cost.items():
            found += [
                Row(
                    section=SECTION, what=f"{way}, {name}", value=sent, unit="B/packet"
                ),
                Row(
                    section=SECTION,
                    what=f"{way}, {name}, server",
                    value=seconds * 1e6,
                    unit="us CPU/packet",
                ),
            ]
        ratio = cost["HTTPS"][0] / cost["MQTT"][0]
        what = f"bytes: HTTPS / MQTT, {name}"
        found.append(Row(section=SECTION, what=what, value=ratio, unit="x"))
    both.mqtt.stop()
    both.https.stop()
    return found


def _serve(house: House) -> subprocess.Popen[str]:
    """Start the HTTPS server in a process of its own."""
    return subprocess.Popen(
        [
            *(sys.executable, "-c", SERVER, str(house.pki.server.certificate)),
            *(str(house.pki.server.key), str(house.pki.devices.path)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )


async def _all(folder: Path) -> list[Row]:
    house = House(folder)
    web = await asyncio.to_thread(_serve, house)
    try:
        assert web.stdout is not None
        port = int(web.stdout.readline())
        found = list(await received(house))
        async with Door(house):
            found += await compared(Both(house, web, port))
    finally:
        web.kill()
        web.wait()
        if web.stdout is not None:
            web.stdout.close()
        house.broker.stop()
    return found


def rows() -> Iterator[Row]:
    """Measure transport."""
    with tempfile.TemporaryDirectory(prefix="sb-") as folder:
        yield from asyncio.run(_all(Path(folder)))
