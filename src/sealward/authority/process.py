"""The authority's process: a desk on a Unix socket, and no other door.

It speaks to no broker. It reads people and the registrars' orders from PostgreSQL and
writes the audit row of a grant before the grant leaves.
"""

import asyncio
import logging
import resource
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sealward import clock
from sealward.authority.holder import Holder, Order
from sealward.config import Authority
from sealward.custody import asked
from sealward.errors import RefusalError
from sealward.records import audit, people
from sealward.records.session import Session
from sealward.seal import cbor, signing
from sealward.wire import desk

log = logging.getLogger(__name__)
FRESH = timedelta(seconds=120)  # for which a request's own time may differ from ours


class PersonError(RefusalError):
    """Nobody of that name has been given attributes, or another asks for him."""

    reason = "person"


class Grants:
    """What the desk answers."""

    def __init__(
        self, holder: Holder, session: Session, now: Callable[[], datetime]
    ) -> None:
        self._holder = holder
        self._session = session
        self._now = now

    async def answer(
        self, _: desk.Peer, verb: str, args: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Answer *verb*: ``pins``, public keys to hold to, or ``key.grant``."""
        if verb == "pins":
            return {"mpk": self._holder.mpk, "authority": self._holder.spki}
        if verb == "key.grant":
            return {"package": await asyncio.to_thread(self._grant, args)}
        raise PersonError("this desk answers `pins` and `key.grant`")

    def _grant(self, args: Mapping[str, Any]) -> bytes:
        """Grant the person in *args* a key for the days asked, if all is in order."""
        now = self._now()
        try:
            person, at = asked.uuid(args, "person"), asked.number(args, "at")
            first, last = asked.number(args, "first"), asked.number(args, "last")
            signature = asked.blob(args, "signature")
        except (KeyError, ValueError) as error:
            raise PersonError("the request lacks something") from error
        row = self._session.run(lambda conn: people.attributes_of(conn, person))
        if row is None:
            raise PersonError("this person has not been given any attributes")
        order = Order(
            person=person,
            number=row.number,
            attributes=tuple(row.attributes),
            spki=row.spki,
            registrar=row.registrar,
            signature=row.signature,
        )
        words = cbor.encode(["sealward/1 key", str(person), first, last, at])
        if abs(now.timestamp() - at / 1000) > FRESH.total_seconds():
            raise PersonError("the request is not of this moment")
        signing.verify(signing.from_spki(order.spki), words, signature)
        self._holder.check(order)
        days = self._holder.days(order, first, last, now)
        detail = {"number": order.number, "first": days[0], "last": days[-1]}
        self._session.run(
            lambda conn: audit.append(
                conn, "authority", "key.granted", str(person), detail
            )
        )
        return self._holder.grant(order, days, now)


async def run(
    config: Authority, database: str, now: Callable[[], datetime] = clock.now
) -> None:
    """Serve the desk until cancelled, with the share in memory and no core dumps."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    holder = await asyncio.to_thread(Holder, config.folder)
    log.info("authority shares=1 of=1 level=demo")
    session = Session(database)
    grants = Grants(holder, session, now)

    def failed(error: Exception) -> None:
        log.error("fault of=authority what=%s", type(error).__name__, exc_info=error)

    served = await desk.serve(config.socket, grants.answer, on_error=failed)
    try:
        await asyncio.Event().wait()
    finally:
        await served.close()
        await asyncio.to_thread(session.close)
