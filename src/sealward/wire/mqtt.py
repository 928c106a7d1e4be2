"""Speak MQTT 3.1.1 to the broker, as a gateway: mutual TLS, pins, and no giving up.

Nothing is queued here: what cannot be said now is refused, and waits in the spool.
PUBACK is not waited for, since it promises nothing.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from secrets import SystemRandom
from typing import Self

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from sealward.errors import ConfigError, SealwardError, UnavailableError
from sealward.wire import tls, topics
from sealward.wire.topics import Alias, TrespassError

BOUNDS = (0.5, 30.0)  # seconds: the first and the last limit of the wait to reconnect
_KEEPALIVE = 30  # seconds; the broker closes what is silent for 45
_PATIENCE = 10  # seconds for each step of connecting
_BEAT = 1.0  # seconds between looks at the keepalive
_COC = "~coc"
_LOTS = SystemRandom()

OnCommand = Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Where to connect, as whom, whom to believe and what to hear."""

    host: str
    port: int
    client_id: str
    identity: tls.Identity
    pins: Sequence[bytes]
    filters: Sequence[str]
    on_command: OnCommand


class Session:
    """One connection, from its handshake to its end, inside the event loop.

    paho's client is used for one connection only, so that nothing it has kept can go
    out over the next.
    """

    def __init__(self, line: Line) -> None:
        """Prepare to speak over *line*."""
        self._loop = asyncio.get_running_loop()
        self._line = line
        self._admitted: asyncio.Future[None] = self._loop.create_future()
        self._granted: asyncio.Future[bool] = self._loop.create_future()
        self.closed = asyncio.Event()
        client = Client(
            CallbackAPIVersion.VERSION2,
            line.client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(0)  # unlimited: the spool's window limits
        client.connect_timeout = _PATIENCE
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        self._client = client

    async def open(self) -> None:
        """Connect and subscribe.

        The handshake, which blocks, takes place in a thread; the pins are its last
        step, before CONNECT is said.

        Raises:
            OSError: no connection; ``PinError`` among them.
            TrespassError: the broker grants a filter not.
            UnavailableError: we are not admitted, or the broker is silent.
        """
        client, line = self._client, self._line
        client.tls_set_context(tls.client(line.identity, pins=line.pins))
        await self._in_thread(client.connect, line.host, line.port, _KEEPALIVE)
        self._loop.add_reader(self._socket(), self._read)
        self._write()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._admitted
                client.subscribe([(name, 0) for name in line.filters])
                self._write()
                if not await self._granted:
                    raise TrespassError("the broker does not let us hear commands")
        except TimeoutError as error:
            raise UnavailableError("the broker is silent") from error

    async def _in_thread(
        self, connect: Callable[[str, int, int], object], *where: *tuple[str, int, int]
    ) -> None:
        """Let *connect* block elsewhere; told to stop meanwhile, hang up after it."""
        task = asyncio.create_task(asyncio.to_thread(connect, *where))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._abandon)
            raise

    def _abandon(self, task: asyncio.Future[object]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._client.disconnect()

    async def run(self) -> None:
        """Keep the connection alive until it ends."""
        while not self.closed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_BEAT):
                    await self.closed.wait()
            self._client.loop_misc()
            self._write()

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Say *payload*; see ``Uplink.publish``."""
        said = self._client.publish(topic, payload, qos)
        self._write()
        if said.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise UnavailableError("the broker is away")

    def congested(self) -> bool:
        """Say whether something said earlier is still in our hands."""
        return self._client.want_write()

    def close(self) -> None:
        """Say goodbye and hang up."""
        if self._client.socket() is not None:
            self._loop.remove_reader(self._socket())
            self._loop.remove_writer(self._socket())
            self._client.disconnect()

    def _socket(self) -> int:
        sock = self._client.socket()
        return -1 if sock is None else sock.fileno()

    def _read(self) -> None:
        """Take in whole packets, those too that TLS has read ahead."""
        sock = self._client.socket()
        descriptor = self._socket()
        while sock is not None and self._client.loop_read() == 0:
            if not isinstance(sock, ssl.SSLSocket) or not sock.pending():
                break
        self._after(descriptor)

    def _write(self) -> None:
        """Write what is to be written, now or as soon as the socket takes it."""
        descriptor = self._socket()
        if self._client.want_write():
            self._client.loop_write()
        self._after(descriptor)

    def _after(self, descriptor: int) -> None:
        """Watch the socket for as long as it is there."""
        if descriptor < 0:
            return
        if self._socket() < 0:
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
        elif self._client.want_write():
            self._loop.add_writer(descriptor, self._write)
        else:
            self._loop.remove_writer(descriptor)

    # paho's callbacks; all but a failed handshake's come in the event loop

    def _on_connect(
        self,
        _client: Client,
        _data: object,
        _flags: ConnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if self._admitted.done():
            return
        if code.is_failure:
            self._admitted.set_exception(UnavailableError("we are not admitted"))
        else:
            self._admitted.set_result(None)

    def _on_subscribe(
        self,
        _client: Client,
        _data: object,
        _number: int,
        codes: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        if not self._granted.done():
            self._granted.set_result(not any(code.is_failure for code in codes))

    def _on_message(self, _client: Client, _data: object, heard: MQTTMessage) -> None:
        self._loop.call_soon(self._line.on_command, heard.topic, bytes(heard.payload))

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        _flags: DisconnectFlags,
        _code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self.closed.set()
        for waiting in (self._admitted, self._granted):
            if not waiting.done():
                waiting.set_exception(UnavailableError("the connection ended"))
                waiting.exception()  # seen, if nobody waits


class Uplink:
    """A gateway's connection under one client id, made anew whenever it ends."""

    def __init__(
        self,
        line: Line,
        bounds: tuple[float, float],
        on_change: Callable[[Exception | None], None],
    ) -> None:
        """Prepare; see ``connect``."""
        self._line = line
        self._bounds = bounds
        self._on_change = on_change
        self._session: Session | None = None
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.trouble: Exception | None = None  # why the last try or connection ended

    @classmethod
    async def connect(  # noqa: PLR0913, PLR0917 - a line's fields, and how to wait
        cls,
        host: str,
        port: int,
        client_id: str,
        identity: tls.Identity,
        pins: Sequence[bytes],
        on_command: OnCommand,
        *,
        filters: Sequence[str] | None = None,
        bounds: tuple[float, float] = BOUNDS,
        on_change: Callable[[Exception | None], None] = lambda _: None,
    ) -> Self:
        """Connect as *client_id*, an alias or ``<alias>~coc``, and ever again.

        Returns after the first try, whether it succeeded or not: a gateway works
        without a broker. Each wait to reconnect is any time up to a limit, which
        doubles from ``bounds[0]`` to ``bounds[1]`` seconds, so that many do not come
        at once. *on_command* gets topic and payload, in this event loop, of what is
        said under *filters* (by default the alias's commands). *on_change* gets None
        when connected, and otherwise why not. *pins* are checked each time, before a
        word is said.

        Raises:
            ConfigError: there are no *pins* (SHA-256 of the SPKI, 32 bytes each).
        """
        if not pins:
            raise ConfigError("a gateway pins its broker's key")
        line = Line(
            host=host,
            port=port,
            client_id=client_id,
            identity=identity,
            pins=tuple(pins),
            filters=_filters(client_id) if filters is None else filters,
            on_command=on_command,
        )
        uplink = cls(line, bounds, on_change)
        uplink._task = asyncio.create_task(uplink._run())
        tried = asyncio.create_task(uplink._tried.wait())
        await asyncio.wait([uplink._task, tried], return_when="FIRST_COMPLETED")
        if uplink._task.done():
            uplink._task.result()  # a fault of ours, to be seen
        return uplink

    @property
    def connected(self) -> bool:
        """Whether what is said now goes out."""
        return self._session is not None

    @property
    def congested(self) -> bool:
        """Whether the line is slower than we are: skip what is only for now."""
        return self._session is not None and self._session.congested()

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Say *payload* under *topic*. That it went out says nothing of its arrival.

        Raises:
            UnavailableError: the broker is away; nothing was kept.
        """
        if self._session is None:
            raise UnavailableError("the broker is away")
        self._session.publish(topic, payload, qos)

    async def close(self) -> None:
        """Say goodbye; twice is as good as once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        least, most = self._bounds
        limit = least
        while True:
            if await self._once():
                limit = least
            self._tried.set()
            await asyncio.sleep(_LOTS.uniform(0, limit))
            limit = min(most, 2 * limit)

    async def _once(self) -> bool:
        """Connect once and stay for as long as it lasts; say whether we came in."""
        admitted = False
        session = Session(self._line)
        try:
            await session.open()
            admitted = True
            self._session, self.trouble = session, None
            self._on_change(None)
            self._tried.set()
            await session.run()
            self.trouble = UnavailableError("the connection ended")
        except (OSError, SealwardError) as error:
            self.trouble = error
        finally:
            self._session = None
            session.close()
        self._on_change(self.trouble)
        return admitted


def _filters(client_id: str) -> list[str]:
    alias = Alias(client_id.removesuffix(_COC))
    if client_id == alias:
        return [topics.commands(alias)]
    return [topics.command(alias, "coc-ack")]
