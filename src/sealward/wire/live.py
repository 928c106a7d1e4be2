"""Hand on what was just admitted: fast, once, and with no promise.

Whoever misses a packet here finds it in the database, which is the truth.
"""

from collections.abc import Awaitable, Callable, Iterable

from sealward.wire import topics
from sealward.wire.bus import Bus, Heard, Message
from sealward.wire.topics import Alias


async def publish(bus: Bus, alias: Alias, body: bytes) -> None:
    """Say *body*, a packet's bytes as they were admitted.

    Raises:
        UnavailableError: the broker is away; readers will ask the database.
    """
    await bus.publish(topics.live(alias), body)


async def subscribe(
    bus: Bus,
    aliases: Iterable[Alias] | None,
    callback: Callable[[Alias, bytes], Awaitable[None]],
) -> list[Heard]:
    """Hand to *callback* each packet of *aliases*, or of everyone if that is None."""

    async def heard(message: Message) -> None:
        alias = topics.read_live(message.subject)
        if alias is not None:
            await callback(alias, message.data)

    subjects = ["live.*"] if aliases is None else [topics.live(a) for a in aliases]
    return [await bus.subscribe(subject, heard) for subject in subjects]
