"""Look at the packets as whoever relays them sees them: alias, kind, size, no more."""

import asyncio
import logging
import threading

from sealward.demo.site import Site
from sealward.demo.tally import Tally
from sealward.errors import RefusalError, UnavailableError
from sealward.seal import envelope
from sealward.wire import bus, live
from sealward.wire.nkey import NKey
from sealward.wire.tls import Identity
from sealward.wire.topics import Alias

log = logging.getLogger(__name__)


class Tap:
    """Listens on the live subject as the service ``ward``, in a thread of its own."""

    def __init__(self, site: Site, tally: Tally) -> None:
        self._site = site
        self._tally = tally
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; again is harmless."""
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(5)
            self._task = None

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._listen())
        await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        folder = self._site.root / "ward"
        identity = Identity(
            certificate=folder / "tls.pem",
            key=folder / "tls.key",
            authority=folder / "service-ca.pem",
        )
        if self._site.broker is None:
            return
        seed = NKey.load(folder / "nats.seed")
        try:
            async with await bus.connect(
                self._site.broker.service_url, identity, seed, name="ward"
            ) as connection:
                await live.subscribe(connection, None, self._heard)
                await asyncio.Event().wait()
        except UnavailableError as error:
            log.warning("tap reason=%s", error.reason)

    async def _heard(self, alias: Alias, body: bytes) -> None:
        try:
            packet = envelope.read(body)
        except RefusalError:
            return
        self._tally.relayed(alias, envelope.NAMES[packet.kind], len(body))
