"""(f) What a gateway of one bed takes: memory, CPU and bytes a day."""

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.recordings import group, recorded
from bench.table import Row, cpu
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.site import until, ward

from sealward.bedside.bed import Bed
from sealward.bedside.credential import Credential, Pins
from sealward.demo.tally import overhead
from sealward.metrics import Metrics
from sealward.packet.profile import ICU_1
from sealward.seal import envelope, slip
from sealward.seal.curve import Hybrid
from sealward.seal.granting import setup
from sealward.seal.kem import Kem
from sealward.vitals.reading import Reading
from sealward.wire.spool import Spool
from sealward.wire.tls import Identity
from sealward.wire.topics import Alias

SECTION = "f gateway"
ALIAS = "k3v9q0d2m7x5c1p8r4t6w0y2za"
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
EPOCH = 20_780
HOURS = 2  # of readings that are packed, sealed and spooled
PACK = 60  # seconds
SECOND = 1_000_000_000  # ns
RECEIPT = 134 + 2 + len(f"cmd/{ALIAS}/receipt") + 2 + 22  # bytes, with MQTT and TLS


def credential() -> Credential:
    """Return a credential of today that no custody has given."""
    key = ec.generate_private_key(ec.SECP256R1())
    _, mpk = setup(Kem(Hybrid()), os.urandom(48))
    nowhere = Identity(certificate=Path(), key=Path(), authority=Path())
    return Credential(
        slot=0,
        alias=ALIAS,
        epoch=EPOCH,
        key=key,
        identity=nowhere,
        pins=Pins(mpk=mpk, custody=b"", broker=b""),
        slip=slip.Slip(
            id=bytes(16),
            expires=0,
            epoch=EPOCH,
            policy_number=1,
            live="((role:clinician or role:nurse) and (ward:icu or care:x)) or bg:x",
            trend="role:nurse",
            pseudonym="7g4m2qk9x0tb",
            partition=0,
            certificates=(),
            pack_seconds=PACK,
        ),
        salts={EPOCH: bytes(32)},
    )


def stream() -> Iterator[list[Reading]]:
    """Yield a second's readings at a time, real ones, laid end to end from midnight."""
    codes = [channel.code for channel in group().channels]
    at = int(MIDNIGHT.timestamp()) * SECOND
    for columns in recorded(60):
        for row in range(60):
            yield [
                Reading(vital=codes[place], at=at, value=float(column[row] or 0))
                for place, column in columns.items()
                if column[row] is not None
            ]
            at += SECOND


def rows() -> Iterator[Row]:
    """Measure a gateway."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _sealing(Path(folder))
    yield from _process()


def _sealing(folder: Path) -> Iterator[Row]:
    """Pack, seal and spool some hours by a clock that does not wait."""
    seconds = stream()
    with Spool(folder / "spool.db") as spool:
        bed = Bed(
            credential(),
            ec.generate_private_key(ec.SECP256R1()),
            ICU_1,
            spool,
            Metrics(),
            PACK * 1000,
        )

        def work() -> None:
            now = MIDNIGHT
            for second in range(HOURS * 3600):
                now = MIDNIGHT + timedelta(seconds=second + 1)
                seen = int(now.timestamp()) * SECOND
                for reading in next(seconds):
                    bed.take(reading, seen)
                if second % 5 == 0:
                    bed.tick(now)

        taken = cpu(work)
        packets = spool.window(Alias(ALIAS), 0, packets=10_000, size=1 << 30)
    yield Row(
        section=SECTION,
        what="CPU to pack, seal, sign and spool a day of 4 vitals at 1 Hz",
        value=taken / HOURS * 24,
        unit="s/day",
    )
    sent = sum(
        len(row.body)
        + overhead(ALIAS, envelope.NAMES[envelope.Kind(row.kind)], len(row.body))
        for row in packets
    )
    daily = (sent + RECEIPT * len(packets)) / HOURS * 24
    yield Row(
        section=SECTION,
        what="bytes a day: packets and receipts, MQTT and TLS; no PUBACK, no ping",
        value=daily / 1000,
        unit="kB/day",
    )


def _process() -> Iterator[Row]:
    """Look at a real gateway process while it sends packs of 2 s."""
    with ward(pack_seconds=2) as site:
        (patient,) = site.enrol(1)
        sealed = site.gateway("gateway-1", patient.gateway)
        until(lambda: len(sealed.lines) >= 3)
        pid = site.site.pids()["gateway-1"]
        before, count = _busy(pid), len(sealed.lines)
        until(lambda: len(sealed.lines) >= count + 10)
        taken = (_busy(pid) - before) / (2 * 10)
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        (resident,) = (
            int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line
        )
    what = "a gateway process of one bed: resident memory"
    yield Row(section=SECTION, what=what, value=resident / 1024, unit="MiB")
    what = "a gateway process of one bed, packs of 2 s: share of a core"
    yield Row(section=SECTION, what=what, value=taken * 100, unit="%")


def _busy(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
