"""Gateways as the registry knows them, and packets that they have signed."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from bench.clocks import family
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from sealward import clock
from sealward.custody import names
from sealward.intake.door import DAY, Admitted, Door
from sealward.intake.store import Storeroom
from sealward.records import database, migration, packets, registry
from sealward.records.database import Connection
from sealward.records.postgres import Server
from sealward.seal import envelope, signing
from sealward.seal.envelope import Kind

EPOCH = int(clock.now().timestamp() * 1000) // DAY
NOW = EPOCH * DAY + DAY // 2  # ms since 1970
MIDNIGHT = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=EPOCH)
BODY = 80  # bytes: a minute of four vitals, sealed; of 64 on the mean and the tag
KID = b"kid1"
_ES256 = ec.ECDSA(hashes.SHA256())


@contextmanager
def postgres() -> Iterator[Server]:
    """Run a PostgreSQL that has our schema and today's partition."""
    with TemporaryDirectory(prefix="sb-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL's own user passes through
        with Server.start(Path(folder) / "pg") as server:
            migration.migrate(server.url("owner"))
            with closing(database.connect(server.url("custody"))) as connection:
                packets.make_day(connection, EPOCH)
            yield server


def busy(server: Server) -> Callable[[], float]:
    """Return the clock of all of *server*'s processes that run now, in CPU seconds."""
    pids = server.pids()
    return lambda: family(server.pid, pids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A packet on its alias's topic, and a signature around it as OpenSSL has it."""

    alias: str
    packet: bytes
    public: ec.EllipticCurvePublicKey
    signature: bytes  # of the packet as it is, in DER

    def verify(self) -> None:
        """Do the public-key work, and nothing else."""
        self.public.verify(self.signature, self.packet, _ES256)


class Senders:
    """Registered gateways of one bed each."""

    def __init__(self, server: Server, number: int) -> None:
        """Enrol so many gateways."""
        self.keys = {
            names.alias(os.urandom(26)): ec.generate_private_key(ec.SECP256R1())
            for _ in range(number)
        }
        self._publics = {alias: key.public_key() for alias, key in self.keys.items()}
        self._next = dict.fromkeys(self.keys, 0)
        with closing(database.connect(server.url("custody"))) as connection:
            for alias, public in self._publics.items():
                _register(connection, alias, signing.point65(public))
        with closing(database.connect(server.url("intake"))) as connection:
            self.rows = registry.credentials_live(connection)

    def batch(self, number: int) -> list[Sent]:
        """Return so many new packets, a gateway's one after the other's."""
        aliases = list(self.keys)
        return [self._sent(aliases[each % len(aliases)]) for each in range(number)]

    def _sent(self, alias: str) -> Sent:
        seq = self._next[alias]
        self._next[alias] += 1
        key = self.keys[alias]
        packet = envelope.seal_packet(
            key, alias, KID, Kind.VITALS, seq, 4000, EPOCH, os.urandom(BODY)
        )
        return Sent(
            alias=alias,
            packet=packet,
            public=self._publics[alias],
            signature=key.sign(packet, _ES256),
        )


def _register(connection: Connection, alias: str, point: bytes) -> None:
    """Enrol a patient, his gateway and its alias of today."""
    patient, spki = uuid4(), secrets.token_bytes(signing.SPKI)
    name = names.pseudonym(os.urandom(12))
    registry.add_patient(connection, patient, name, "{}", pseudonym=name)
    device = registry.add_device(connection, sha256(spki).digest(), spki, "bench")
    since = MIDNIGHT - timedelta(days=1)
    binding = registry.bind(connection, device, 0, patient, since)
    registry.add_credential(
        connection,
        secrets.randbits(62) + 1,
        binding,
        alias,
        EPOCH,
        point,
        secrets.token_bytes(20),
        MIDNIGHT - timedelta(hours=6),
        MIDNIGHT + timedelta(days=2),
    )


def bare(batch: Sequence[Sent]) -> None:
    """Verify the signatures of *batch*."""
    for sent in batch:
        sent.verify()


def admit(door: Door, batch: Sequence[Sent]) -> list[Admitted]:
    """Return *batch* as *door* admits it."""
    return [door.admit(sent.alias, "vitals", sent.packet, NOW) for sent in batch]


def mark(admitted: Sequence[Admitted]) -> None:
    """Remember that *admitted* was stored."""
    for each in admitted:
        each.sender.mark(each.packet.epoch).stored(each.packet.seq, each.body)


def keep(door: Door, store: Storeroom, batch: Sequence[Sent]) -> None:
    """Admit *batch*, store it durably and exactly once, and remember that.

    Raises:
        RuntimeError: not all of it was new, so that something else was measured.
    """
    admitted = admit(door, batch)
    outcome = store.store(admitted, NOW)
    if outcome.existing or outcome.refused:
        raise RuntimeError("not every packet was stored")
    mark(admitted)
