"""A PostgreSQL of each origin, started once, and beds to write for."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Literal
from uuid import UUID, uuid4

import pytest

from sealward.records import database, migration, packets, registry
from sealward.records.postgres import Binaries, Server, find

EPOCH = 20_780  # 2026-11-23
ORIGINS = ("system", "wheel")
SYMBOLS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, kw_only=True)
class Bed:
    """A patient in a bed with an alias for one day."""

    patient_id: UUID
    pseudonym: str
    device_no: registry.DeviceNo
    binding_id: registry.BindingId
    cred: int
    alias: str
    pubkey65: bytes
    serial: bytes
    spki: bytes


@dataclass(frozen=True, kw_only=True)
class Ward:
    """A server with the schema and one day's partition, and ways into it."""

    server: Server
    epoch: int = EPOCH
    noon: datetime = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def connect(self, role: str) -> closing[database.Connection]:
        """Return a connection of *role* that closes itself."""
        return closing(database.connect(self.server.url(role)))

    def admit(self, slot: int = 0, beside: Bed | None = None) -> Bed:
        """Put a new patient in a bed of a new device, or of the device *beside*."""
        name, spki = secrets.token_hex(6), secrets.token_bytes(91)
        patient_id = uuid4()
        with self.connect("custody") as custody:
            registry.add_patient(custody, patient_id, name, "true", pseudonym=name)
            device_no = (
                beside.device_no
                if beside
                else registry.add_device(custody, sha256(spki).digest(), spki, "org")
            )
            since = self.noon - timedelta(days=1)
            binding_id = registry.bind(custody, device_no, slot, patient_id, since)
            bed = Bed(
                patient_id=patient_id,
                pseudonym=name,
                device_no=device_no,
                binding_id=binding_id,
                cred=secrets.randbits(62) + 1,
                alias="".join(secrets.choice(SYMBOLS) for _ in range(26)),
                pubkey65=b"\4" + secrets.token_bytes(64),
                serial=secrets.token_bytes(16),
                spki=beside.spki if beside else spki,
            )
            self.certify(custody, bed, bed.cred, bed.alias)
        return bed

    def certify(
        self, custody: database.Connection, bed: Bed, cred: int, alias: str
    ) -> None:
        """Add an alias of 54 hours for *bed*."""
        from_midnight = self.noon - timedelta(hours=18)
        registry.add_credential(
            custody,
            *(cred, bed.binding_id, alias, self.epoch, bed.pubkey65),
            bed.serial if cred == bed.cred else secrets.token_bytes(16),
            *(from_midnight, from_midnight + timedelta(hours=54)),
        )


def chosen(origin: Literal["system", "wheel"]) -> Binaries:
    """Return the binaries of *origin*, or skip where a system has none of its own."""
    found = find(prefer=origin)
    if found.origin != origin:
        assert origin == "system", "the wheel is in dev.lock"
        pytest.skip("this machine has no PostgreSQL of its own")
    return found


@contextmanager
def temporary() -> Iterator[Path]:
    """Make a folder through which any user may pass; pytest's own are closed."""
    path = Path(tempfile.mkdtemp(prefix="sw-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder through which any user may pass."""
    with temporary() as path:
        yield path


@pytest.fixture(scope="session", params=ORIGINS)
def binaries(request: pytest.FixtureRequest) -> Binaries:
    """Return PostgreSQL of either origin."""
    return chosen(request.param)


@pytest.fixture(scope="session")
def ward(binaries: Binaries) -> Iterator[Ward]:
    """Return a running server of either origin."""
    with temporary() as path, Server.start(path / "pg", binaries=binaries) as server:
        migration.migrate(server.url("owner"))
        ward = Ward(server=server)
        with ward.connect("custody") as custody:
            assert packets.make_day(custody, ward.epoch)
        yield ward


@pytest.fixture(scope="session")
def made() -> Iterator[Path]:
    """Return a state folder with the schema, on which no server runs just now."""
    with temporary() as path:
        with Server.start(path / "pg") as server:
            migration.migrate(server.url("owner"))
            with closing(database.connect(server.url("custody"))) as custody:
                packets.make_day(custody, EPOCH)
        yield path / "pg"


@pytest.fixture
def bed(ward: Ward) -> Bed:
    """Return a bed of this test's own."""
    return ward.admit()
