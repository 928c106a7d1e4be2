"""Custody's process: who may connect, the desk, and the closing of what is revoked.

It alone has the database role that sees the vault, and the key that opens it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

from sealward import clock
from sealward.config import Custody
from sealward.custody import admission
from sealward.custody.credentials import epoch_of
from sealward.custody.desk import Desk
from sealward.custody.slips import Slips
from sealward.errors import RefusalError, UnavailableError
from sealward.metrics import Metrics
from sealward.records import audit, packets, registry, sessions
from sealward.records.database import Connection, connect
from sealward.records.session import Session
from sealward.wire import admission as callout
from sealward.wire import bus, desk, telemetry
from sealward.wire.admission import Grant, Request
from sealward.wire.bus import Bus
from sealward.wire.nkey import NKey
from sealward.wire.tls import Identity

if TYPE_CHECKING:
    from pathlib import Path


log = logging.getLogger(__name__)
DAYS = 4  # partitions ahead of today
PAUSE = 1.0  # seconds before PostgreSQL is tried again
HOUR = 3600.0  # seconds


class Process:
    """Custody at work."""

    def __init__(
        self,
        config: Custody,
        database: str,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self._config = config
        self._database = database
        self._now = now
        self._session = Session(database)
        self._metrics = Metrics()
        self._audited: set[tuple[str, str, int]] = set()
        self._slips = Slips(config.folder, config.pack_seconds)
        self._desk = Desk(config.folder, self._session, self._slips, now)
        self._ended = Event()

    async def run(self, url: str) -> None:
        """Work until cancelled, with the broker at *url*."""
        await asyncio.to_thread(self._make_days)
        folder = self._config.folder
        identity = Identity(
            certificate=folder / "tls.pem",
            key=folder / "tls.key",
            authority=folder / "service-ca.pem",
        )
        buses = {}
        for name in ("sys", "auth", "prov"):
            seed = NKey.load(folder / f"{name}.seed")
            buses[name] = await bus.connect(url, identity, seed, name=f"custody-{name}")
        await telemetry.provision(buses["prov"])
        await callout.serve(
            buses["auth"],
            buses["sys"],
            NKey.load(folder / "issuer.seed"),
            self._decide,
            on_refused=self._refused,
            on_failed=self._failed,
            now=self._now,
        )
        served = await desk.serve(
            self._config.socket, self._answer, on_error=self._failed
        )
        log.info("custody ready socket=%s", self._config.socket.name)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._revoke(buses["sys"]))
                tasks.create_task(self._upkeep(buses["prov"]))
        finally:
            self._ended.set()
            await served.close()
            for each in buses.values():
                await each.close()
            await asyncio.to_thread(self._session.close)

    # --- the broker's door -------------------------------------------------------

    async def _decide(self, request: Request) -> Grant:
        """Decide on *request* by the registry as it is now."""
        now = self._now()
        alias = callout.holder(request.leaf, now)
        row = await asyncio.to_thread(
            self._session.run, lambda conn: registry.credential_by_alias(conn, alias)
        )
        grant = admission.judge(request, row, now)
        grant.permissions()  # refuses another's client id before a session is written
        if row is not None:
            await asyncio.to_thread(
                self._session.run,
                lambda conn: sessions.save_session(
                    conn, request.server_id, request.cid, request.client_id, row.cred
                ),
            )
        self._metrics.add("connections_admitted")
        return grant

    def _refused(self, reason: str, request: Request | None) -> None:
        """Count a refusal; audit the first of a certificate, a reason and an hour."""
        self._metrics.add("connections_refused", reason=reason)
        if request is None:
            return
        subject = admission.fingerprint(request.leaf)
        hour = int(self._now().timestamp() // HOUR)
        if (subject, reason, hour) in self._audited:
            return
        self._audited = {each for each in self._audited if each[2] == hour}
        self._audited.add((subject, reason, hour))
        asyncio.get_running_loop().run_in_executor(
            None, self._audit, "connection.refused", subject, {"reason": reason}
        )

    def _audit(self, act: str, subject: str, detail: Mapping[str, Any]) -> None:
        def write(conn: Connection) -> None:
            audit.append(conn, "broker", act, subject, detail)

        try:
            self._session.run(write)
        except UnavailableError:
            self._metrics.add("unavailable", service="database")

    def _failed(self, error: BaseException) -> None:
        """Note a fault of ours; whoever asked was refused without a word."""
        self._metrics.add("faults")
        log.error("fault of=custody what=%s", type(error).__name__, exc_info=error)

    async def _answer(
        self, _: desk.Peer, verb: str, args: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Answer at the desk."""
        try:
            answer = await asyncio.to_thread(self._desk.answer, verb, args)
        except RefusalError as error:
            self._metrics.add("requests_refused", reason=error.reason)
            raise
        self._metrics.add("requests_answered", verb=verb)
        return answer

    # --- revocation ----------------------------------------------------------------

    async def _revoke(self, system: Bus) -> None:
        """Close the connections of each alias that is revoked, as it is told."""
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[str] = asyncio.Queue()

        def hear(alias: str) -> None:
            loop.call_soon_threadsafe(told.put_nowait, alias)

        listening = loop.run_in_executor(None, self._listen, hear)
        kicks: set[asyncio.Task[None]] = set()
        try:
            while True:
                alias = await told.get()
                task = asyncio.create_task(self._close(system, alias))
                kicks.add(task)
                task.add_done_callback(kicks.discard)
        finally:
            self._ended.set()
            await listening

    def _listen(self, hear: Callable[[str], None]) -> None:
        """Pass on the aliases that are revoked, until the process ends."""
        while not self._ended.is_set():
            try:
                with connect(self._database) as connection:
                    registry.listen(connection)
                    while not self._ended.is_set():
                        for notice in registry.notifications(connection, 0.5):
                            if notice.channel == registry.REVOKED:
                                hear(notice.payload)
            except UnavailableError:
                self._metrics.add("unavailable", service="database")
                self._ended.wait(PAUSE)

    async def _close(self, system: Bus, alias: str) -> None:
        """Close both connections of *alias*, if the registry says it is revoked."""
        try:
            row, known = await asyncio.to_thread(
                self._session.run,
                lambda conn: (
                    registry.credential_by_alias(conn, alias),
                    sessions.sessions(conn, alias),
                ),
            )
            if row is None or row.revoked_at is None:
                return  # anybody may send a notice; the row alone counts
            where = [(each.server_id, each.cid) for each in known]
            closed = await callout.kick(system, [alias, f"{alias}~coc"], where)
            self._metrics.add("connections_closed", closed)
        except UnavailableError as error:
            log.warning("revocation alias=%s reason=%s", alias, error.reason)

    # --- upkeep --------------------------------------------------------------------

    def _make_days(self) -> None:
        """Make the partitions of today, of yesterday and of the days ahead."""
        today = epoch_of(self._now())
        for epoch in range(today - 1, today + DAYS):
            self._session.run(partial(packets.make_day, epoch=epoch))

    async def _upkeep(self, prov: Bus) -> None:
        """Keep the counters in their file, the partitions ahead, the stream there."""
        path: Path = self._config.folder / "metrics.prom"
        rounds, reconnects = 0, prov.reconnects
        while True:
            self._metrics.write(path)
            await asyncio.sleep(1)
            rounds += 1
            try:
                if rounds % int(HOUR) == 0:
                    await asyncio.to_thread(self._make_days)
                if prov.reconnects != reconnects:
                    await telemetry.provision(prov)
                    reconnects = prov.reconnects
            except UnavailableError as error:
                log.warning("upkeep reason=%s", error.reason)
