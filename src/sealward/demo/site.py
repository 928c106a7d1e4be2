"""Build a site in one folder: keys, database, broker, processes, patients, readers.

Everything that an operator would do by hand is done here by the same commands; only
PostgreSQL and the broker are started from this process, each as its own user.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sealward import clock, config
from sealward.analyst import person
from sealward.bedside.credential import Keeper
from sealward.custody import installing
from sealward.demo.guard import Guard
from sealward.demo.launcher import Launcher
from sealward.errors import UnavailableError
from sealward.records import migration, postgres
from sealward.wire import broker, desk
from sealward.wire.tls import Identity

log = logging.getLogger(__name__)
WARDS = ("icu", "surgery")  # the entitled reader's, and the refused one's
READY = 30.0  # seconds for a process to answer
ENDING = 5.0  # seconds for a process to end; a gateway, which still sends, has more
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient of the run, and the gateway at his bed."""

    uid: str
    pseudonym: str
    gateway: Path


class Site:
    """A site at work, in *root*."""

    def __init__(
        self, root: Path, pack_seconds: int, say: Say, *, passing: bool = False
    ) -> None:
        """Prepare *root*; nothing is started yet.

        A *passing* site is forgotten even if we are killed and cannot do so.
        """
        self.root = root
        self._pack_seconds = pack_seconds
        self._say = say
        self.config = root / config.NAME
        self._passing = passing
        self._guard = Guard()
        self.launcher = Launcher(self.config, root / "log", say, self._guard.child)
        self.database: postgres.Server | None = None
        self.broker: broker.Broker | None = None
        self.url = ""

    # --- start -------------------------------------------------------------------

    def start(self) -> None:
        """Install the site and start everything but gateways and readers."""
        self._start_guard()
        installing.install(self.root, ["localhost", "127.0.0.1"], clock.now())
        with ThreadPoolExecutor() as pool:
            database = pool.submit(self._start_database)
            self.start_broker()
            self._write_config()
            self.launcher.run_once("authority", "--install")
            mpk = (self.root / "authority/mpk").read_bytes()
            installing.pin_authority(self.root, mpk)
            database.result()
        self._write_config()
        self.launcher.start("custody", "custody")
        self.launcher.start("authority", "authority")
        asyncio.run(self._until("custody/desk.sock", "receipt.certify", {"keys": {}}))
        self.launcher.start("intake", "intake")
        asyncio.run(self._until("authority/desk.sock", "pins", {}))

    def _start_guard(self) -> None:
        """Start who ends everything if we are killed, before there is anything."""
        self._guard.start()
        data, broker_ = self.root / "postgres/data", self.root / "broker"
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for its clients.
        self._guard.server(data / "postmaster.pid", data, signal.SIGINT)
        self._guard.server(broker_ / "pid", broker_ / "home", signal.SIGTERM)
        if self._passing:
            self._guard.folder(self.root)

    def _start_database(self) -> None:
        """Start PostgreSQL, or take the operator's, and bring its schema up to date."""
        if given := config.database_url():
            postgres.external(given)
            self.url = given
        else:
            self.database = postgres.Server.start(self.root / "postgres")
            self.url = self.database.url("owner")
        migration.migrate(self.url)

    def start_broker(self) -> None:
        """Start the broker, on the ports that it had if it had any."""
        custody, identity = self.root / "custody", self.root / "broker-identity"
        self.broker = broker.Broker.start(
            self.root / "broker",
            server=Identity(
                certificate=identity / "tls.pem",
                key=identity / "tls.key",
                authority=custody / "service-ca.pem",
            ),
            service_authority=custody / "service-ca.pem",
            device_authority=custody / "device-ca.pem",
            users=installing.users(self.root),
            issuer=installing.issuer(self.root),
            ports=self.broker.ports if self.broker else None,
        )

    def restart_database(self) -> None:
        """Start PostgreSQL again on its own folder."""
        self.database = postgres.Server.start(self.root / "postgres")

    def _write_config(self) -> None:
        """Write the site's settings, each with what it is for."""
        if self.broker is None:
            return
        text = TEMPLATE.format(
            service=self.broker.service_url,
            port=self.broker.mqtt_port,
            url=self.url.replace("'", "") if self.url else "",
            seconds=self._pack_seconds,
        )
        fresh = self.config.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.config)

    async def _until(self, socket: str, verb: str, args: dict[str, object]) -> None:
        """Wait until the desk at *socket* answers *verb*."""
        loop = asyncio.get_running_loop()
        until = loop.time() + READY
        while True:
            try:
                await desk.call(self.root / socket, verb, args)
            except UnavailableError:
                self.tend()
                if loop.time() > until:
                    raise
                await asyncio.sleep(0.05)
            else:
                return

    # --- people and beds -----------------------------------------------------------

    async def enrol(self, patients: int) -> list[Patient]:
        """Make *patients* patients of the first ward, each at a gateway of his own."""
        made = []
        have = len(list(self.root.glob("gateway-*")))
        for number in range(have, have + patients):
            asked = {"ward": WARDS[0], "purposes": ["care"], "studies": []}
            answer = await desk.call(
                self.root / "custody/desk.sock", "patient.add", asked
            )
            folder = self.root / f"gateway-{number + 1}"
            keeper = Keeper(folder, self.root / "custody/desk.sock")
            uid = str(answer["uid"])
            await keeper.attach(0, uid)
            made.append(Patient(uid, str(answer["pseudonym"]), folder))
        return made

    async def enrol_reader(self, name: str, *attributes: str) -> Path:
        """Make the reader *name* with *attributes*; return the folder."""
        folder = self.root / f"reader-{name}"
        await person.enrol(
            folder,
            name,
            attributes,
            registrar=self.root / "registrar/registrar.key",
            custody=self.root / "custody/desk.sock",
            authority=self.root / "authority/desk.sock",
        )
        return folder

    # --- watch over it ---------------------------------------------------------------

    def tend(self) -> None:
        """Restart whatever has died, and say so. Call it some times a second."""
        self.launcher.tend()
        if self.broker is not None and not self.broker.alive():
            self._say("the broker ended; it is started again")
            self.broker.stop()
            self.start_broker()
        if self.database is not None and not self.database.alive():
            self._say("PostgreSQL ended; it is started again")
            self.database.stop()
            self.restart_database()

    def pids(self) -> dict[str, int]:
        """Return the process ids of all that runs, by name."""
        found = self.launcher.pids()
        if self.broker is not None:
            found["broker"] = self.broker.pid
        if self.database is not None:
            found["postgres"] = self.database.pid
        return found

    def stop(self) -> None:
        """Stop everything, gateways first, so that what they hold can still arrive."""
        names = list(self.launcher.pids())
        self.launcher.stop([name for name in names if name.startswith("gateway")])
        self.launcher.stop(grace=ENDING)
        if self.broker is not None:
            self.broker.stop()
        if self.database is not None:
            self.database.stop()
        self._guard.stop()


def make_root(given: Path | None) -> Path:
    """Return the state folder of a run: *given*, or a new one.

    PostgreSQL and the broker run as users of their own where root starts them, and
    must be able to pass through it: then its mode is 0711, else 0700.
    """
    if given is None:
        import tempfile  # noqa: PLC0415 - only where nobody has named a folder

        given = Path(tempfile.mkdtemp(prefix="sealward-"))
    given.mkdir(parents=True, exist_ok=True)
    given.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return given.resolve()


TEMPLATE = """\
# What this site's processes are told. Relative paths start beside this file; an
# unknown name is an error. Secrets are files; none stands here.

[broker]
service = "{service}"  # where our own processes reach it
host = "localhost"  # where gateways do
port = {port}

[database]
url = "{url}"  # DATABASE_URL goes before it

[custody]
folder = "custody"
socket = "custody/desk.sock"
pack_seconds = {seconds}  # readings in a packet; 60 outside a demonstration

[authority]
folder = "authority"
socket = "authority/desk.sock"

[intake]
folder = "intake"
batch = 1000  # packets a transaction at most
wait_ms = 20  # a transaction waits no longer for more

[bedside]
folder = "gateway-1"
spool_mib = 1024  # the spool's cap

[reader]
folder = "reader-entitled"
service = "analyst"  # the folder by whose key readers reach the broker
"""
