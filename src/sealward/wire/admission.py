"""Stand at the broker's door: each stranger who connects is decided on here.

Fails closed: an unexpected exception answers nothing, which the broker takes for a
refusal after its time-out. The decision itself is custody's.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from sealward import clock
from sealward.errors import RefusalError
from sealward.wire.bus import Bus, Heard, Message
from sealward.wire.callout import (
    CalloutError,
    ForeignError,
    Grant,
    Request,
    answer,
    holder,
    read,
    refuse,
)
from sealward.wire.nkey import NKey

__all__ = ["Admission", "Grant", "Request", "answer", "holder", "kick", "read", "serve"]

AGAIN = (1.0, 6.0)  # seconds: the broker's time-out for a callout, and one more
_QUESTIONS = "$SYS.REQ.USER.AUTH"
_QUEUE = "admission"
_PING = "$SYS.REQ.SERVER.PING"
_REMEMBERED = 4096  # questions; at 300 connections a second 13 s, and they expire in 5

Decide = Callable[[Request], Awaitable[Grant]]
OnRefused = Callable[[str, Request | None], None]


class Admission:
    """A worker at the door. Made by ``serve``; any number share the work."""

    def __init__(  # noqa: PLR0913 - who asks, who answers, who decides, who hears of it
        self,
        bus: Bus,
        servers: "Servers",
        issuer: NKey,
        decide: Decide,
        *,
        on_refused: OnRefused,
        on_failed: Callable[[BaseException], None],
        now: Callable[[], datetime],
    ) -> None:
        """Answer on *bus* for brokers that *servers* knows."""
        self._bus = bus
        self._servers = servers
        self._issuer = issuer
        self._decide = decide
        self._on_refused = on_refused
        self._on_failed = on_failed
        self._now = now
        self._seen: dict[str, None] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._heard: Heard | None = None

    async def open(self) -> None:
        """Begin."""
        self._heard = await self._bus.subscribe(_QUESTIONS, self._ask, queue=_QUEUE)
        await self._bus.flush()

    async def close(self) -> None:
        """Hear no more, and answer what was heard."""
        if self._heard is not None:
            await self._heard.close()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _ask(self, message: Message) -> None:
        """Let each question take its own time: one slow answer holds up no other."""
        task = asyncio.create_task(self._reply(message))
        self._under_way.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failed(error)

    async def _reply(self, message: Message) -> None:
        request: Request | None = None
        try:
            request = await self._read(message.data)
            grant = await self._decide(request)
            said = answer(request, self._issuer, grant, self._now())
        except RefusalError as refusal:
            self._on_refused(refusal.reason, request)
            said = refuse(message.data, self._issuer, refusal.reason, self._now())
        await self._bus.publish(message.reply, said)

    async def _read(self, data: bytes) -> Request:
        try:
            request = read(data, self._servers.known, self._now())
        except ForeignError:
            await self._servers.learn()
            request = read(data, self._servers.known, self._now())
        if request.user_nkey in self._seen:
            raise CalloutError("asked before")
        self._seen[request.user_nkey] = None
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return request


class Servers:
    """The brokers that are ours: a broker's key is new at each of its starts."""

    def __init__(self, bus: Bus) -> None:
        """Ask on *bus*, the service ``sys``."""
        self._bus = bus
        self._asking: asyncio.Task[None] | None = None
        self.known: frozenset[str] = frozenset()

    async def learn(self) -> None:
        """Ask who is there; whoever asks meanwhile waits for the same answer."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        await asyncio.shield(self._asking)

    async def _ask(self) -> None:
        found = set()
        async for reply in self._bus.replies(_PING, b"", 1):
            match json.loads(reply.data):
                case {"server": {"id": str(server)}}:
                    found.add(server)
                case _:
                    continue  # whatever it is, it is no broker of ours
        self.known = frozenset(found)


async def serve(  # noqa: PLR0913 - as Admission
    bus_auth: Bus,
    bus_sys: Bus,
    issuer: NKey,
    decide: Decide,
    *,
    on_refused: OnRefused = lambda _, __: None,
    on_failed: Callable[[BaseException], None] = lambda _: None,
    now: Callable[[], datetime] = clock.now,
) -> Admission:
    """Answer the broker's questions until closed.

    *decide* gets a stranger whom a broker of ours vouches for, and returns what is
    granted or raises a ``RefusalError``. *on_refused* gets each refusal's reason, for
    the audit, with the request if it was one; *on_failed* what went wrong otherwise.

    Raises:
        UnavailableError: the broker is away.
    """
    servers = Servers(bus_sys)
    await servers.learn()
    admission = Admission(
        bus_auth,
        servers,
        issuer,
        decide,
        on_refused=on_refused,
        on_failed=on_failed,
        now=now,
    )
    await admission.open()
    return admission


async def kick(
    bus_sys: Bus,
    client_ids: Iterable[str],
    sessions: Iterable[tuple[str, int]] = (),
    *,
    again: Iterable[float] = AGAIN,
) -> int:
    """Close every connection of *client_ids*, and *sessions* (broker's id, number).

    At once, then *again* after so many seconds from the start: a connection that was
    admitted before the revocation may appear only then. Return how many were closed;
    the first round is over within milliseconds, the last after 6 s, so let it run.

    Raises:
        UnavailableError: the broker is away.
    """
    loop = asyncio.get_running_loop()
    start, names, known = loop.time(), tuple(client_ids), set(sessions)
    closed: set[tuple[str, int]] = set()
    for seconds in (0.0, *again):
        await asyncio.sleep(start + seconds - loop.time())
        for session in known - closed:
            await _close(bus_sys, session)
        found = await asyncio.gather(*(_close_all(bus_sys, name) for name in names))
        closed |= known.union(*found)
    return len(closed)


async def _close_all(bus: Bus, client_id: str) -> set[tuple[str, int]]:
    """Close the connections of *client_id*, each as soon as a broker names it."""
    question = json.dumps({"auth": True, "limit": 1024, "mqtt_client": client_id})
    closed = set()
    async for reply in bus.replies("$SYS.REQ.ACCOUNT.IOT.CONNZ", question.encode()):
        match json.loads(reply.data):
            case {
                "server": {"id": str(server)},
                "data": {"connections": [*connections]},
            }:
                for connection in connections:
                    session = server, int(connection["cid"])
                    await _close(bus, session)
                    closed.add(session)
            case _:
                continue
    return closed


async def _close(bus: Bus, session: tuple[str, int]) -> None:
    """Close one connection; a broker obeys only who names a place for its answer."""
    server, number = session
    question = json.dumps({"cid": number}).encode()
    subject = f"$SYS.REQ.SERVER.{server}.KICK"
    await bus.publish(subject, question, reply="_INBOX.nobody")
