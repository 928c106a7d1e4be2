"""A raw MQTT 3.1.1 client that may misbehave: it says whatever a test lets it say.

OASIS MQTT Version 3.1.1. One ``Client`` is one connection; nothing is repaired.
"""

import asyncio
import ssl
import struct
from typing import Self


def length(number: int) -> bytes:
    """Return *number* as a remaining length (§2.2.3)."""
    out = bytearray()
    while True:
        number, seven = number >> 7, number & 127
        out.append(seven | (128 if number else 0))
        if not number:
            return bytes(out)


def text(value: str | bytes) -> bytes:
    """Return *value* with its length in front (§1.5.3)."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(data)) + data


def packet(first: int, body: bytes) -> bytes:
    """Return a control packet whose first byte is *first*."""
    return bytes([first]) + length(len(body)) + body


def connect(client_id: str, *, level: int = 4, keepalive: int = 60) -> bytes:
    """Return CONNECT with a clean session (§3.1)."""
    head = text("MQTT") + bytes([level, 2]) + struct.pack(">H", keepalive)
    return packet(0x10, head + (b"\x00" if level == 5 else b"") + text(client_id))


def publish(topic: str | bytes, payload: bytes, number: int = 1, qos: int = 1) -> bytes:
    """Return PUBLISH (§3.3)."""
    middle = struct.pack(">H", number) if qos else b""
    return packet(0x30 | qos << 1, text(topic) + middle + payload)


def subscribe(topic: str, number: int = 7, qos: int = 0) -> bytes:
    """Return SUBSCRIBE to one filter (§3.8)."""
    return packet(0x82, struct.pack(">H", number) + text(topic) + bytes([qos]))


class Client(asyncio.Protocol):
    """One connection: what came back, and whether it is closed."""

    def __init__(self) -> None:
        self._rest = b""
        loop = asyncio.get_running_loop()
        self.closed = loop.create_future()
        self.connack: asyncio.Future[int] = loop.create_future()
        self.subacks: asyncio.Queue[int] = asyncio.Queue()
        self.acks: list[int] = []
        self.heard: list[tuple[str, bytes]] = []
        self.transport: asyncio.Transport

    @classmethod
    async def dial(
        cls, port: int, context: ssl.SSLContext, client_id: str, **says: int
    ) -> Self:
        """Connect and wait for the answer, ``connack``; *says* goes into CONNECT.

        Raises:
            OSError: the connection was closed instead.
        """
        self = await cls.raw(port, context)
        self.send(connect(client_id, **says))
        async with asyncio.timeout(10):
            await self.connack
        return self

    @classmethod
    async def raw(cls, port: int, context: ssl.SSLContext) -> Self:
        """Shake hands and say nothing yet."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            _, self = await loop.create_connection(
                cls, "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
        return self

    def send(self, data: bytes) -> None:
        """Say *data*."""
        self.transport.write(data)

    async def subscribe(self, topic: str, qos: int = 0) -> int:
        """Return what the broker grants: a QoS, or 128 for nothing."""
        self.send(subscribe(topic, qos=qos))
        async with asyncio.timeout(10):
            return await self.subacks.get()

    async def gone(self, seconds: float = 5) -> bool:
        """Say whether the broker closes the connection within *seconds*."""
        done, _ = await asyncio.wait([self.closed], timeout=seconds)
        return bool(done)

    def is_open(self) -> bool:
        """Say whether the connection still stands."""
        return not self.closed.done()

    def close(self) -> None:
        """Hang up without a word."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the *transport*."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it is over."""
        if not self.closed.done():
            self.closed.set_result(None)
        if not self.connack.done():
            self.connack.set_exception(exc or ConnectionResetError("closed"))
            self.connack.exception()

    def data_received(self, data: bytes) -> None:
        """Take whole packets off the stream."""
        self._rest += data
        while (found := self._whole()) is not None:
            self._take(*found)

    def _whole(self) -> tuple[int, bytes] | None:
        size, shift = 0, 0
        for at in range(1, len(self._rest)):
            size |= (self._rest[at] & 127) << shift
            shift += 7
            if self._rest[at] < 128:
                if len(self._rest) <= at + size:
                    return None
                first, body = self._rest[0], self._rest[at + 1 : at + 1 + size]
                self._rest = self._rest[at + 1 + size :]
                return first, body
        return None

    def _take(self, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == 2 and not self.connack.done():
            self.connack.set_result(body[1])
        elif kind == 3:
            size = int.from_bytes(body[:2]) + 2
            start = size + (2 if first & 6 else 0)
            self.heard.append((body[2:size].decode(), body[start:]))
        elif kind == 4:
            self.acks.append(int.from_bytes(body))
        elif kind == 9:
            self.subacks.put_nowait(body[2])
