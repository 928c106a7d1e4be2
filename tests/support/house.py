"""A running broker with all its services, for live tests; ended by process id."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Self

from tests.support.mqtt_client import Client
from tests.support.pki import Pki

from sealward import clock
from sealward.wire import admission, bus, nkey, tls
from sealward.wire.admission import Grant, Request
from sealward.wire.broker import Broker
from sealward.wire.brokerconfig import SERVICES, Ports
from sealward.wire.bus import Bus
from sealward.wire.nkey import NKey


class House:
    """Everything a broker needs, made under *folder*."""

    def __init__(
        self, folder: Path, *, max_store_bytes: int = 1 << 30, start: bool = True
    ) -> None:
        self.folder = folder
        self.pki = Pki(folder / "pki")
        self.keys = {name: NKey.generate(os.urandom(32)) for name in SERVICES}
        self.issuer = NKey.generate(os.urandom(32), nkey.ACCOUNT)
        self.max_store_bytes = max_store_bytes
        self.identity = self.pki.service("services")
        if start:
            self.broker = self.start()

    def start(self, ports: Ports | None = None) -> Broker:
        """Start the broker, or start it again on its *ports*."""
        return Broker.start(
            self.folder / "broker",
            server=self.pki.server,
            service_authority=self.pki.services.path,
            device_authority=self.pki.devices.path,
            users={name: key.public for name, key in self.keys.items()},
            issuer=self.issuer.public,
            ports=ports,
            max_store_bytes=self.max_store_bytes,
        )

    def restart(self) -> None:
        """End the broker by force, and start it on the same ports."""
        os.kill(self.broker.pid, 9)
        self.broker.stop()
        self.broker = self.start(self.broker.ports)

    async def bus(
        self, service: str, on_error: Callable[[Exception], None] = lambda _: None
    ) -> Bus:
        """Connect as *service*."""
        return await bus.connect(
            self.broker.service_url,
            self.identity,
            self.keys[service],
            name=service,
            on_error=on_error,
        )

    def device(self, alias: str) -> tls.Identity:
        """Make a device's identity."""
        return self.pki.device(alias)


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until *condition* holds.

    Raises:
        TimeoutError: it does not within *seconds*.
    """
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - whatever is waited for knows no event
            await asyncio.sleep(0.01)


class Door:
    """Admission with a decision that believes every certificate of a device.

    ``refusals`` are the reasons so far; ``requests`` what was decided on.
    """

    def __init__(self, house: House, *, lasts: timedelta | None = None) -> None:
        self.house = house
        self.lasts = lasts
        self.refusals: list[str] = []
        self.requests: list[Request] = []
        self.workers: set[str] = set()  # aliases that are workers
        self.buses: list[Bus] = []

    async def __aenter__(self) -> Self:
        self.sys = await self.bus("sys")
        self.admission = await admission.serve(
            await self.bus("auth"),
            self.sys,
            self.house.issuer,
            self.decide,
            on_refused=lambda reason, _: self.refusals.append(reason),
        )
        return self

    async def bus(
        self, service: str, on_error: Callable[[Exception], None] = lambda _: None
    ) -> Bus:
        """Connect as *service* for as long as the door is open."""
        bus = await self.house.bus(service, on_error)
        self.buses.append(bus)
        return bus

    async def decide(self, request: Request) -> Grant:
        """Admit whoever has an alias's certificate, under a client id of its own."""
        self.requests.append(request)
        now = clock.now()
        ends = now + self.lasts if self.lasts else request.leaf.not_valid_after_utc
        alias = admission.holder(request.leaf, now)
        return Grant(
            alias=alias,
            client_id=request.client_id,
            profile="worker" if alias in self.workers else "gateway",
            expires=ends,
        )

    async def dial(self, alias: str, client_id: str | None = None) -> Client:
        """Connect a device that says whatever we let it say."""
        context = tls.client(self.house.device(alias))
        port = self.house.broker.mqtt_port
        return await Client.dial(port, context, client_id or alias)

    async def __aexit__(self, *_: object) -> None:
        await self.admission.close()
        for opened in self.buses:
            await opened.close()
