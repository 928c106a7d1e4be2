"""(c) Admit and store exactly once, (d) beside plain stacks on one PostgreSQL."""

import json
import os
import secrets
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import cbor2
from bench.table import Row, cpu, median_us
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sealward import clock
from sealward.custody import names
from sealward.errors import RefusalError
from sealward.intake.door import DAY, Admitted, Door
from sealward.intake.store import Storeroom
from sealward.records import database, migration, packets, registry
from sealward.records.postgres import Server
from sealward.seal import envelope, signing
from sealward.seal.envelope import Kind

SECTION, PLAIN = "c ingest", "d plain"
SENDERS = 50
BATCH = 1000  # packets a transaction
BATCHES = 12
BODY = 83  # bytes: a minute of four vitals, padded, with its tag
READINGS = 240  # in such a packet
TICK = os.sysconf("SC_CLK_TCK")
EPOCH = int(clock.now().timestamp()) // 86_400
NOW = EPOCH * DAY + DAY // 2  # ms since 1970
MIDNIGHT = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=EPOCH)

_READING = """
    create table if not exists public.reading (
      id bigserial primary key, device_id text not null, patient_id uuid not null,
      type text not null, value double precision not null, unit text,
      ts timestamptz not null);
    create index if not exists reading_by_type
      on public.reading (patient_id, type, ts)"""
_COPY = "copy public.reading (device_id, patient_id, type, value, unit, ts) from stdin"


def postgres_cpu(server: Server) -> float:
    """Return the CPU seconds that PostgreSQL's processes have taken so far."""
    total = 0
    for pid in server.pids():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICK


class Senders:
    """Registered gateways, and packets that they have signed."""

    def __init__(self, server: Server) -> None:
        self.keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(SENDERS)]
        self.aliases = [names.alias(os.urandom(26)) for _ in self.keys]
        with closing(database.connect(server.url("custody"))) as connection:
            packets.make_day(connection, EPOCH)
            for key, alias in zip(self.keys, self.aliases, strict=True):
                self._register(connection, key, alias)
        with closing(database.connect(server.url("intake"))) as connection:
            self.rows = registry.credentials_live(connection)

    @staticmethod
    def _register(
        connection: database.Connection, key: ec.EllipticCurvePrivateKey, alias: str
    ) -> None:
        patient, spki = uuid4(), secrets.token_bytes(91)
        name = names.pseudonym(os.urandom(12))
        registry.add_patient(connection, patient, name, "{}", pseudonym=name)
        device = registry.add_device(connection, sha256(spki).digest(), spki, "bench")
        since = MIDNIGHT - timedelta(days=1)
        binding = registry.bind(connection, device, 0, patient, since)
        registry.add_credential(
            connection, secrets.randbits(62) + 1, binding, alias, EPOCH,
            signing.point65(key.public_key()), secrets.token_bytes(20),
            MIDNIGHT - timedelta(hours=6), MIDNIGHT + timedelta(days=2),
        )  # fmt: skip

    def packets(self, first: int, count: int) -> list[tuple[str, bytes]]:
        """Return (alias, packet) of *count* packets, from number *first* on."""
        made = []
        for number in range(count):
            who = number % SENDERS
            seq = first + number // SENDERS
            packet = envelope.seal_packet(
                self.keys[who], self.aliases[who], b"kid1", Kind.VITALS, seq, 4000,
                EPOCH, bytes(BODY),
            )  # fmt: skip
            made.append((self.aliases[who], packet))
        return made

    def verify(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """Verify the signatures of *batch*, and do nothing else."""
        public = dict(zip(self.aliases, self._publics(), strict=True))
        prepared = []
        for alias, packet in batch:
            outside = envelope.read(packet)
            aad = cbor2.dumps(["smqtt/1 packet", alias])
            prepared.append(
                (
                    public[alias],
                    encode_dss_signature(
                        int.from_bytes(outside.signature[:32]),
                        int.from_bytes(outside.signature[32:]),
                    ),
                    b"".join(
                        (
                            signing.STRUCTURE,
                            outside.kid,
                            cbor2.dumps(aad),
                            outside.signed,
                        )
                    ),
                )
            )
        self._prepared = prepared

    def _publics(self) -> list[ec.EllipticCurvePublicKey]:
        return [key.public_key() for key in self.keys]

    def bare(self) -> None:
        """Do the public-key work of the batch that was prepared last."""
        es256 = ec.ECDSA(hashes.SHA256())
        for public, signature, message in self._prepared:
            public.verify(signature, message, es256)


def admit(door: Door, batch: Sequence[tuple[str, bytes]]) -> list[Admitted]:
    """Return *batch* as the door admits it."""
    return [door.admit(alias, "vitals", packet, NOW) for alias, packet in batch]


def rows() -> Iterator[Row]:
    """Measure ingest and the plain stacks in one run, in turns."""
    with tempfile.TemporaryDirectory(prefix="sb-") as folder:
        Path(folder).chmod(0o755)
        with Server.start(Path(folder) / "pg") as server:
            migration.migrate(server.url("owner"))
            yield from _measured(server)


def _measured(server: Server) -> Iterator[Row]:
    senders = Senders(server)
    door = Door()
    door.learn(senders.rows)
    store = Storeroom(server.url("intake"))
    store.marks(EPOCH)  # the connection is made before anything is measured
    bare, ours, plain = [], [], []
    batch: list[tuple[str, bytes]] = []
    with closing(database.connect(server.url("owner"))) as owner:
        owner.execute(_READING)
        postgres_ours = postgres_plain = 0.0
        for number in range(BATCHES):
            batch = senders.packets(number * BATCH // SENDERS, BATCH)
            senders.verify(batch)
            bare.append(cpu(senders.bare))
            before = postgres_cpu(server)

            def whole(these: Sequence[tuple[str, bytes]] = batch) -> None:
                admitted = admit(door, these)
                store.store(admitted, NOW)
                for each in admitted:
                    mark = each.sender.mark(each.packet.epoch)
                    mark.stored(each.packet.seq, each.body)

            ours.append(cpu(whole))
            postgres_ours += postgres_cpu(server) - before
            before = postgres_cpu(server)
            plain.append(cpu(lambda: _copy(owner, arrays=True)))
            postgres_plain += postgres_cpu(server) - before
        yield from _ingest_rows(bare, ours, postgres_ours)
        yield from _replay_rows(door, batch)
        yield from _plain_rows(
            server, owner, plain, postgres_plain, ours, postgres_ours
        )
    store.close()
    yield from _disk_rows(server)


def _ingest_rows(
    bare: list[float], ours: list[float], postgres: float
) -> Iterator[Row]:
    verify = statistics.median(bare) / BATCH * 1e6
    admitted = statistics.median(ours) / BATCH * 1e6
    database_ = postgres / BATCHES / BATCH * 1e6
    for what, value in (
        ("bare P-256 verify", verify),
        ("admit + store, this process", admitted),
        ("admit + store, PostgreSQL", database_),
    ):
        yield Row(section=SECTION, what=what, value=value, unit="us/packet")
    yield Row(
        section=SECTION,
        what="bare verify / (admit + store once, PostgreSQL's CPU included)",
        value=verify / (admitted + database_),
        unit="x",
        least=0.75,
    )
    rate = 1e6 / (admitted + database_)
    yield Row(section=SECTION, what="admit + store", value=rate, unit="packets/s/core")


def _replay_rows(door: Door, batch: Sequence[tuple[str, bytes]]) -> Iterator[Row]:
    alias, packet = batch[0]

    def replay() -> None:
        try:
            door.admit(alias, "vitals", packet, NOW)
        except RefusalError:
            return

    yield Row(
        section=SECTION,
        what="a replayed packet refused, before any public-key work",
        value=median_us(replay, 2000),
        unit="us",
        most=5,
    )


def _message(number: int) -> list[dict[str, object]]:
    return [
        {
            "device_id": "wear-7f3a91c2",
            "patient_id": "3f2b8c1e-9d4a-4b7e-8f60-2a1c5d9e7b44",
            "type": ("hr", "spo2", "rr", "tskin")[at & 3],
            "value": 72 + (at + number) % 7,
            "unit": "/min",
            "timestamp": f"2026-11-23T14:{number % 60:02d}:{at // 4:02d}.000Z",
        }
        for at in range(READINGS)
    ]


ARRAYS = [json.dumps(_message(number)) for number in range(40)]
OBJECTS = [json.dumps(each) for number in range(8) for each in _message(number)]


def _copy(connection: database.Connection, *, arrays: bool) -> None:
    """Parse and COPY what a plain stack sends: arrays of 240, or an object each."""
    texts = ARRAYS if arrays else OBJECTS
    for at in range(0, len(texts), 4 if arrays else 960):
        chunk = texts[at : at + (4 if arrays else 960)]
        with (
            connection.transaction(),
            connection.cursor() as cursor,
            cursor.copy(_COPY) as copy,
        ):
            for text in chunk:
                parsed = json.loads(text)
                for r in parsed if arrays else [parsed]:
                    copy.write_row(
                            (r["device_id"], r["patient_id"], r["type"], r["value"],
                             r["unit"], r["timestamp"])
                        )  # fmt: skip


def _plain_rows(  # noqa: PLR0913, PLR0917 - both sides' figures
    server: Server,
    owner: database.Connection,
    plain: list[float],
    postgres_plain: float,
    ours: list[float],
    postgres_ours: float,
) -> Iterator[Row]:
    count = len(ARRAYS) * READINGS
    each = (statistics.median(plain) + postgres_plain / len(plain)) / count * 1e6
    before = postgres_cpu(server)
    single = cpu(lambda: _copy(owner, arrays=False))
    single += postgres_cpu(server) - before
    alone = single / len(OBJECTS) * 1e6
    mine = (
        (statistics.median(ours) + postgres_ours / len(ours)) / BATCH * 1e6 / READINGS
    )
    for what, value in (
        ("JSON, an object a reading + COPY", alone),
        ("JSON arrays of 240 + COPY", each),
        ("ours: sealed, signed, exactly once", mine),
    ):
        yield Row(section=PLAIN, what=what, value=value, unit="us/reading")
    for what, value in (
        ("arrays of 240", each / mine),
        ("an object each", alone / mine),
    ):
        yield Row(
            section=PLAIN, what=f"readings/s/core: ours / {what}", value=value, unit="x"
        )


def _disk_rows(server: Server) -> Iterator[Row]:
    with closing(database.connect(server.url("owner"))) as owner:
        owner.execute("vacuum")
        queries = {
            "ours, as it arrives": (
                "select sum(pg_total_relation_size(i.inhrelid))::float8"
                " / nullif((select count(*) from store.packet), 0) / 240"
                " from pg_inherits i where i.inhparent = 'store.packet'::regclass"
            ),
            "plain rows": (
                "select pg_total_relation_size('public.reading')::float8 / count(*)"
                " from public.reading"
            ),
        }
        for what, query in queries.items():
            (value,) = owner.execute(query.encode()).fetchone() or (0.0,)
            yield Row(
                section=PLAIN, what=f"disk, {what}", value=value, unit="B/reading"
            )
