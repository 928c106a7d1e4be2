"""MQTT beside HTTPS: bytes on the wire and CPU of each packet, both ends.

Both over TLS 1.3 with certificates at both ends, through a relay that counts; one
packet of a minute a message, answered before the next.
"""

import asyncio
import os
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from bench.clocks import spent
from bench.table import Row
from tests.support import mqtt_client
from tests.support.house import Door, House

from sealward.wire import tls
from sealward.wire.telemetry import provision

ROOT = Path(__file__).parents[1]
ALIAS = "k3v9q0d2m7x5c1p8r4t6w0y2za"
PACKET = os.urandom(164)  # a minute of four vitals on the mean
OPEN, AGAIN = 300, 25  # packets of a turn: over one connection, and with one each
ROUNDS = 7
SETTLED = 0.05  # seconds, for the last bytes to pass
DISCONNECT = b"\xe0\x00"
ANSWER = 4  # bytes, of CONNACK and of PUBACK
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


class Program:
    """A process of ours that answers on its standard output."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.pid = self._process.pid

    def hear(self) -> int:
        """Return the number that it says next."""
        if self._process.stdout is None:
            raise RuntimeError("the process has no output")
        return int(self._process.stdout.readline())

    def ask(self) -> int:
        """Return the number that it says when asked."""
        if self._process.stdin is None:
            raise RuntimeError("the process has no input")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.hear()

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def program(module: str, *arguments: str) -> Iterator[Program]:
    """Run *module* for a while."""
    running = Program(module, *arguments)
    try:
        yield running
    finally:
        running.end()


class Sender(Protocol):
    """One connection over which packets go, each answered before the next."""

    def send(self) -> None:
        """Send one packet and take its answer."""

    def close(self) -> None:
        """Hang up."""


def _dial(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="localhost")


class Mqtt:
    """MQTT 3.1.1 as a gateway speaks it, QoS 1."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._socket = _dial(port, context)
        self._number = 0
        self._socket.sendall(mqtt_client.connect(ALIAS))
        self._answered()

    def send(self) -> None:
        """Publish one packet and take its PUBACK."""
        self._number += 1
        topic = f"telemetry/{ALIAS}/vitals"
        self._socket.sendall(mqtt_client.publish(topic, PACKET, self._number))
        self._answered()

    def _answered(self) -> None:
        if len(self._socket.recv(ANSWER)) != ANSWER:
            raise ConnectionError("the broker has hung up")

    def close(self) -> None:
        """Say goodbye and hang up."""
        self._socket.sendall(DISCONNECT)
        self._socket.close()


class Https:
    """HTTP/1.1 with as few headers as it allows, head and packet in one record.

    Written by hand as the other is: http.client takes nearly three times as long,
    and sends two records.
    """

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._socket = _dial(port, context)

    def send(self) -> None:
        """Post one packet and take its answer."""
        head = f"POST /vitals HTTP/1.1\r\nHost: h\r\nContent-Length: {len(PACKET)}"
        self._socket.sendall(head.encode() + b"\r\n\r\n" + PACKET)
        if self._socket.recv(len(NO_CONTENT) + 1) != NO_CONTENT:
            raise ConnectionError("the web server does not take packets")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to send: how to connect, through which relay, to which process."""

    dial: Callable[[int, ssl.SSLContext], Sender]
    relay: Program
    port: int
    server: int  # process id

    def turn(
        self, context: ssl.SSLContext, packets: int, *, again: bool
    ) -> tuple[float, float, float]:
        """Return bytes, server's and client's CPU seconds a packet.

        *again* means a connection for each packet, which counts; else one for all,
        which does not.
        """
        sender = None if again else self.dial(self.port, context)
        if sender is not None:
            sender.send()
        time.sleep(SETTLED)
        passed, busy, mine = self.relay.ask(), spent([self.server]), time.thread_time()
        for _ in range(packets):
            each = sender or self.dial(self.port, context)
            each.send()
            if sender is None:
                each.close()
        mine = time.thread_time() - mine
        time.sleep(SETTLED)
        busy = spent([self.server]) - busy
        passed = self.relay.ask() - passed
        if sender is not None:
            sender.close()
        return passed / packets, busy / packets, mine / packets


def _compare(ways: dict[str, Way], context: ssl.SSLContext) -> list[Row]:
    """Let both ways take turns, over an open connection and with one each."""
    found = []
    for how, packets, again, least in (
        ("an open connection", OPEN, False, 1),
        ("a connection each", AGAIN, True, None),  # whoever is smaller there
    ):
        turns: dict[str, list[tuple[float, float, float]]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, each in ways.items():
                turns[way].append(each.turn(context, packets, again=again))
        figures = {
            way: tuple(map(statistics.median, zip(*taken, strict=True)))
            for way, taken in turns.items()
        }
        for way, (passed, server, client) in figures.items():
            also = {"us of the server": server * 1e6, "us of the client": client * 1e6}
            what = f"{way}, {how}"
            found.append(Row(what=what, value=passed, unit="B a packet", also=also))
        found.append(
            Row(
                what=f"HTTPS / MQTT, {how}",
                value=figures["HTTPS"][0] / figures["MQTT"][0],
                unit="x the bytes",
                least=least,
                also={"x the server's CPU": figures["HTTPS"][1] / figures["MQTT"][1]},
            )
        )
    return found


async def _measured(house: House) -> list[Row]:
    """Start both servers and both relays, and compare."""
    context = tls.client(house.device(ALIAS))
    server = house.pki.server
    paths = (server.certificate, server.key, house.pki.devices.path)
    async with Door(house) as door:
        await provision(await door.bus("prov"))
        with ExitStack() as stack:
            web = stack.enter_context(program("bench.web", *map(str, paths)))
            ports = {"MQTT": house.broker.mqtt_port, "HTTPS": web.hear()}
            ways = {}
            for way, port in ports.items():
                relay = stack.enter_context(program("bench.relay", str(port)))
                ways[way] = Way(
                    dial=Mqtt if way == "MQTT" else Https,
                    relay=relay,
                    port=relay.hear(),
                    server=house.broker.pid if way == "MQTT" else web.pid,
                )
            return await asyncio.to_thread(_compare, ways, context)


def rows() -> Iterator[Row]:
    """Measure transport."""
    with TemporaryDirectory(prefix="sb-") as name:
        house = House(Path(name))
        try:
            yield from asyncio.run(_measured(house))
        finally:
            house.broker.stop()
