"""A running broker with all its services, for live tests; ended by process id."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from tests.support.pki import Pki

from sealward.wire import bus, nkey, tls
from sealward.wire.broker import Broker
from sealward.wire.brokerconfig import SERVICES, Ports
from sealward.wire.bus import Bus
from sealward.wire.nkey import NKey


class House:
    """Everything a broker needs, made under *folder*."""

    def __init__(self, folder: Path, *, max_store_bytes: int = 1 << 30) -> None:
        self.folder = folder
        self.pki = Pki(folder / "pki")
        self.keys = {name: NKey.generate(os.urandom(32)) for name in SERVICES}
        self.issuer = NKey.generate(os.urandom(32), nkey.ACCOUNT)
        self.max_store_bytes = max_store_bytes
        self.identity = self.pki.service("services")
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
