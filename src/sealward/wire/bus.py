"""Speak NATS to the broker, as a service: mutual TLS, an nkey, and no giving up.

What is said while the connection is away is refused, not kept: whoever says it knows
whether it may be said later.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from secrets import SystemRandom
from typing import Self

import nats.errors
from nats.aio.client import Client, Server
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport

from sealward.errors import ConfigError, UnavailableError
from sealward.wire import tls
from sealward.wire.binary import FloorError, at_least
from sealward.wire.nkey import NKey
from sealward.wire.topics import TrespassError

_SOONEST, _LATEST = 0.1, 5.0  # seconds between tries to reconnect, full jitter
_PATIENCE = 10.0  # seconds for the first connection
_BEAT = 10  # seconds between pings; two unanswered end the connection
_GOODBYE = 0.25  # seconds
_QUIET = 0.05  # seconds without a reply after which a cluster has spoken
_LOTS = SystemRandom()
_Handler = Callable[["Message"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Message:
    """What was heard, and where an answer is awaited (``""`` if nowhere)."""

    subject: str
    data: bytes
    reply: str = ""


class _Line(TcpTransport):
    """nats-py's transport, which ends when it should.

    Of a handshake that failed nats-py would await the end for ever, and of a peer that
    does not say goodbye for 30 s.
    """

    def __init__(self) -> None:
        self._io_reader = self._bare_io_reader = None
        self._io_writer = self._bare_io_writer = None

    def __bool__(self) -> bool:
        return True  # for nats-py would put its own in the place of a false one

    async def wait_closed(self) -> None:
        try:
            async with asyncio.timeout(_GOODBYE):
                if self._io_writer is not None:
                    await self._io_writer.wait_closed()
        except TimeoutError:
            for writer in (self._io_writer, self._bare_io_writer):
                if writer is not None:
                    writer.transport.abort()
            await asyncio.sleep(0)  # the loop closes it in its next round


class _Tenacious(Client):
    """nats-py's client with four faults mended.

    It has no setting for an nkey without a seed of its own reading, believes a broker
    of any version, gives up for ever on each error but a few, and its first connection
    either gives up soon or can hardly be stopped.
    """

    def __init__(self, key: NKey) -> None:
        super().__init__()
        self._public_nkey = key.public
        self._transport = _Line()
        self._key = key
        self._last: Exception | None = None

    async def try_once(
        self,
        url: str,
        context: ssl.SSLContext,
        name: str,
        on_error: Callable[[Exception], None],
        patience: float,
    ) -> Exception | None:
        """Try to connect; return why not, None if we are.

        It is let try once or twice, and told only then never to give up again: a
        cancelled wait for an endless first connection may go unnoticed (Python 3.11,
        ``asyncio.wait_for``).
        """

        async def note(error: Exception) -> None:
            self._last = error
            if self.is_connected or self.is_reconnecting:
                on_error(_translated(error))

        trying = asyncio.create_task(
            self.connect(
                url,
                name=name,
                tls=context,
                tls_handshake_first=True,
                signature_cb=self._sign,
                error_cb=note,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                reconnect_to_server_handler=_again,
                ping_interval=_BEAT,
                connect_timeout=2,
            )
        )
        await asyncio.wait([trying], timeout=max(0, patience))
        if trying.done() and trying.exception() is None:
            self.options.update(allow_reconnect=True, max_reconnect_attempts=-1)
            return None
        trying.cancel()
        await asyncio.wait([trying])
        await self.close()
        return self._last or UnavailableError("the broker is silent")

    def _sign(self, nonce: str) -> bytes:
        return base64.urlsafe_b64encode(self._key.sign(nonce.encode())).rstrip(b"=")

    async def _process_info(
        self,
        info: dict[str, object],
        initial_connection: bool = False,  # noqa: FBT001, FBT002 - nats-py's signature
    ) -> None:
        if initial_connection:
            try:
                at_least(str(info.get("version")))
            except FloorError as error:
                raise nats.errors.Error(str(error)) from error
        await super()._process_info(info, initial_connection)

    async def _process_err(self, err_msg: str) -> None:
        if "permissions violation" in err_msg.lower():
            await super()._process_err(err_msg)
        else:
            await self._process_op_err(nats.errors.Error(err_msg))


class Bus:
    """One service's connection. Made by ``connect``."""

    def __init__(self, client: _Tenacious) -> None:
        """Take over a connected *client*."""
        self.client = client  # for this room alone

    @property
    def connected(self) -> bool:
        """Whether what is said now is heard."""
        return self.client.is_connected

    @property
    def reconnects(self) -> int:
        """How often the connection has been made anew."""
        return self.client.stats["reconnects"]

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None:
        """Say *data*.

        Raises:
            UnavailableError: the broker is away; nothing was kept.
        """
        if not self.client.is_connected:
            raise UnavailableError("the broker is away")
        await self.client.publish(subject, data, reply)

    async def subscribe(
        self, subject: str, handler: _Handler, *, queue: str = ""
    ) -> "Heard":
        """Hand to *handler* whatever is said on *subject*, one at a time, in order.

        Of the subscribers of one *queue* each message reaches one. An exception of
        *handler* goes to ``on_error``, and the next message comes all the same.
        """

        async def handed(message: Msg) -> None:
            await handler(Message(message.subject, message.data, message.reply))

        return Heard(await self.client.subscribe(subject, queue, cb=handed))

    async def messages(self, subject: str) -> AsyncGenerator[Message]:
        """Yield whatever is said on *subject*, until closed."""
        subscription = await self.client.subscribe(subject)
        try:
            async for message in subscription.messages:
                yield Message(message.subject, message.data, message.reply)
        finally:
            await Heard(subscription).close()

    async def request(self, subject: str, data: bytes, timeout: float = 2) -> Message:  # noqa: ASYNC109 - a caller's own patience
        """Return the first answer within *timeout* seconds.

        Raises:
            UnavailableError: there is none.
        """
        async with aclosing(self.replies(subject, data, timeout)) as answers:
            async for answer in answers:
                return answer
        raise UnavailableError("no answer")

    async def replies(
        self,
        subject: str,
        data: bytes,
        timeout: float = 2,  # noqa: ASYNC109 - as above
    ) -> AsyncGenerator[Message]:
        """Yield every answer, the first within *timeout* seconds.

        In a cluster each server answers; 50 ms of silence end it.
        """
        heard: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = self.client.new_inbox()
        subscription = await self.client.subscribe(inbox, cb=heard.put)
        try:
            await self.publish(subject, data, reply=inbox)
            patience = timeout
            while True:
                answer = await asyncio.wait_for(heard.get(), patience)
                if (answer.headers or {}).get("Status") == "503":  # nobody listens
                    return
                yield Message(answer.subject, answer.data, answer.reply)
                patience = _QUIET
        except TimeoutError:
            return
        finally:
            await Heard(subscription).close()

    async def flush(self) -> None:
        """Wait until the broker has heard all that was said.

        Raises:
            UnavailableError: it does not answer within 10 s.
        """
        try:
            await self.client.flush()
        except (nats.errors.Error, TimeoutError) as error:
            raise UnavailableError("the broker does not answer") from error

    async def drain(self) -> None:
        """Hear what is under way, then close."""
        if self.client.is_connected:
            await self.client.drain()
        else:
            await self.close()

    async def close(self) -> None:
        """Close at once; twice is as good as once."""
        await self.client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Heard:
    """A subscription."""

    def __init__(self, subscription: Subscription) -> None:
        """Take over *subscription*."""
        self._subscription = subscription

    async def close(self) -> None:
        """Hear no more; what cannot be told to an absent broker need not be."""
        try:
            await self._subscription.unsubscribe()
        except nats.errors.Error:
            return


def _ignore(_: Exception) -> None:
    """Take no note."""


def _again(servers: list[Server], _: dict[str, object]) -> tuple[Server, float]:
    """Choose a server and how long to wait: anything up to twice the last limit."""
    chosen = _LOTS.choice(servers)
    limit = min(_LATEST, _SOONEST * 2 ** min(chosen.reconnects, 10))
    return chosen, _LOTS.uniform(0, limit)


async def connect(  # noqa: PLR0913 - who, where, as whom
    url: str,
    identity: tls.Identity,
    nkey: NKey,
    *,
    name: str,
    on_error: Callable[[Exception], None] = _ignore,
    pins: Sequence[bytes] = (),
    patience: float = _PATIENCE,
) -> Bus:
    """Connect to the broker at *url* as *nkey*, and again whenever that ends.

    *on_error* hears what goes wrong afterwards: ``TrespassError`` for what is not
    permitted, ``UnavailableError`` for a lost connection, else a handler's exception.
    The handshake comes before the broker's greeting, so that nobody in between can
    say that none is needed.

    Raises:
        UnavailableError: no connection within *patience* seconds.
        PinError: the server's key is not among *pins*.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    limit = _SOONEST
    while True:
        client = _Tenacious(nkey)
        failed = await client.try_once(
            url, tls.client(identity, pins=pins), name, on_error, until - loop.time()
        )
        if failed is None:
            return Bus(client)
        if isinstance(failed, tls.PinError | ConfigError):
            raise failed
        wait = _LOTS.uniform(0, limit)
        if loop.time() + wait >= until:
            raise UnavailableError(f"no connection to the broker: {failed}")
        await asyncio.sleep(wait)
        limit = min(_LATEST, 2 * limit)


def _translated(error: Exception) -> Exception:
    """Return what became of the connection in our own words."""
    if isinstance(error, tls.PinError):
        return error
    if isinstance(error, nats.errors.Error | OSError | TimeoutError):
        if "permissions violation" in str(error).lower():
            return TrespassError("the broker does not permit it")
        return UnavailableError("the connection to the broker is lost")
    return error
