"""Keep packets between the broker and the door: the stream TELEMETRY and its readers.

A work queue, not a store: what is acknowledged is gone, and PUBACK means nothing.
"""

import asyncio
import json
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    SubjectTransform,
)

from sealward.errors import ConfigError, UnavailableError
from sealward.wire import topics
from sealward.wire.bus import Bus, Heard
from sealward.wire.topics import Alias

STREAM = "TELEMETRY"
PARTITIONS = 8  # fixed when the stream is made
MAX_BYTES = 768 << 20  # of the broker's 1 GiB; the rest is MQTT's own
_MAX_MESSAGE = 65536  # bytes
_ACK_WAIT = 30.0  # seconds; with 3 s one packet in three came twice
_UNACKED = 4000  # a partition
_PULL = 500  # packets asked for at a time, a partition
_PULL_BYTES = 4 << 20
_EXPIRES = 5.0  # seconds; a request that a broken connection lost is made again
_FNV = (0x811C9DC5, 0x01000193)  # 32 bits, 1a: offset basis and prime


def partition(alias: Alias) -> int:
    """Return which of the 8 partitions the broker puts *alias* in."""
    basis, prime = _FNV
    state = basis
    for letter in alias.encode("ascii"):
        state = (state ^ letter) * prime & 0xFFFFFFFF
    return state % PARTITIONS


def _wanted(max_bytes: int, replicas: int) -> StreamConfig:
    return StreamConfig(
        name=STREAM,
        subjects=["telemetry.*.*"],
        retention=RetentionPolicy.WORK_QUEUE,
        storage=StorageType.FILE,
        num_replicas=replicas,
        discard=DiscardPolicy.NEW,
        max_bytes=max_bytes,
        max_msg_size=_MAX_MESSAGE,
        deny_delete=True,
        subject_transform=SubjectTransform(
            src="telemetry.*.*",
            dest=f"t.{{{{partition({PARTITIONS},1)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}",
        ),
    )


async def provision(bus: Bus, *, max_bytes: int = MAX_BYTES, replicas: int = 1) -> None:
    """Make the stream and its consumers, or bring them up to date.

    *bus* is the service ``prov``. Doing it again changes nothing.

    Raises:
        ConfigError: a stream of another shape is there: drain it and remove it.
        UnavailableError: the broker does not answer.
    """
    jetstream = bus.client.jetstream(timeout=5)
    wanted = _wanted(max_bytes, replicas)
    try:
        try:
            found = (await jetstream.stream_info(STREAM)).config
        except nats.js.errors.NotFoundError:
            await jetstream.add_stream(wanted)
        else:
            if found.subject_transform != wanted.subject_transform:
                raise ConfigError("TELEMETRY has other partitions: drain and remove it")
            await jetstream.update_stream(wanted)
        for number in range(PARTITIONS):
            await jetstream.add_consumer(STREAM, _consumer(number))
    except nats.js.errors.APIError as error:
        raise ConfigError(f"TELEMETRY: {error.description}") from error
    except (nats.errors.Error, TimeoutError) as error:
        raise UnavailableError("the broker's JetStream does not answer") from error


def _consumer(number: int) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=f"intake-{number}",
        filter_subject=f"t.{number}.>",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=_ACK_WAIT,
        max_ack_pending=_UNACKED,
        max_deliver=-1,
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """A packet as it came, still owed an answer."""

    alias: Alias
    kind_name: str  # of the topic; the packet must say the same
    body: bytes
    partition: int
    _message: Msg

    async def ack(self) -> None:
        """Say that it is committed: the stream forgets it.

        Raises:
            UnavailableError: the broker is away; the packet comes again.
        """
        await self._say(b"+ACK")

    async def term(self) -> None:
        """Say that it is refused for good: the stream forgets it.

        Raises:
            UnavailableError: as above.
        """
        await self._say(b"+TERM")

    async def _say(self, word: bytes) -> None:
        message = self._message
        client = message._client  # noqa: SLF001 - msg.ack() costs twice as much
        if not client.is_connected:
            raise UnavailableError("the broker is away")
        await client.publish(message.reply, word)


class Ingress:
    """Pulls packets of some partitions, as the service ``intake``.

    One inbox hears all partitions. Each has a request open at the broker, made in
    ``batch`` alone, so that who does not ask for batches is not flooded.
    """

    def __init__(self, bus: Bus, partitions: Collection[int] = range(8)) -> None:
        """Read *partitions*, which no other process should read at the time."""
        self._bus = bus
        self._partitions = tuple(partitions)
        self._inbox = ""
        self._heard: Heard | None = None
        self._arrived: deque[Delivery] = deque()
        self._more = asyncio.Event()
        self._limit = 1
        self._open = dict.fromkeys(self._partitions, 0)  # packets still asked for
        self._until = dict.fromkeys(self._partitions, 0.0)
        self._connection = -1
        self.strange = 0  # packets under no topic of ours, refused here

    async def batch(self, limit: int = 1000, wait: float = 0.02) -> list[Delivery]:
        """Return up to *limit* packets, as soon as there are so many or *wait* is over.

        In order of arrival, one alias's in the order they were stored; empty if none
        came within *wait* seconds.

        Raises:
            UnavailableError: the broker is away. What was delivered and not yet
                acknowledged comes again.
        """
        await self._ask()
        if len(self._arrived) < limit:
            self._limit = limit
            self._more.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._more.wait()
            except TimeoutError:
                pass
        take = min(limit, len(self._arrived))
        return [self._arrived.popleft() for _ in range(take)]

    async def close(self) -> None:
        """Stop reading; what was not acknowledged comes to whoever reads next."""
        if self._heard is not None:
            await self._heard.close()
        self._heard = None
        self._arrived.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self) -> None:
        """Keep between half a pull and one and a half open for each partition."""
        if not self._bus.connected:
            raise UnavailableError("the broker is away")
        client = self._bus.client
        if self._heard is None:
            self._inbox = client.new_inbox()
            self._heard = Heard(
                await client.subscribe(
                    f"{self._inbox}.*",
                    cb=self._take,
                    pending_msgs_limit=0,
                    pending_bytes_limit=0,
                )
            )
        if self._connection != self._bus.reconnects:
            self._connection = self._bus.reconnects
            self._until = dict.fromkeys(self._partitions, 0.0)
        now = asyncio.get_running_loop().time()
        for number in self._partitions:
            if now >= self._until[number]:
                self._open[number] = 0
            if self._open[number] <= _PULL // 2:
                self._open[number] += _PULL
                self._until[number] = now + _EXPIRES
                await client.publish(
                    f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.intake-{number}",
                    _REQUEST,
                    f"{self._inbox}.{number}",
                )

    async def _take(self, message: Msg) -> None:
        stored = topics.read_stored(message.subject)
        if stored is None:
            await self._set_aside(message)
            return
        number, alias, kind_name = stored
        self._open[number] -= 1
        arrived = self._arrived
        arrived.append(Delivery(alias, kind_name, message.data, number, message))
        if len(arrived) >= self._limit:
            self._more.set()

    async def _set_aside(self, message: Msg) -> None:
        """Take note of the end of a request, or refuse what has no right topic."""
        if not message.subject.startswith(self._inbox):
            self.strange += 1
            await message.term()
            return
        left = (message.headers or {}).get("Nats-Pending-Messages", "0")
        number = int(message.subject.rpartition(".")[2])
        self._open[number] = max(0, self._open[number] - int(left))


_REQUEST = json.dumps(
    {
        "batch": _PULL,
        "max_bytes": _PULL_BYTES,
        "expires": int(_EXPIRES * 1_000_000_000),
    }
).encode()
