"""What a gateway of one bed takes: memory, CPU and bytes a day."""

import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import chain, repeat
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.clocks import cpu, spent
from bench.recordings import BIDMC, group, recorded, simulated
from bench.table import Row
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.site import until, ward

from sealward.bedside.bed import Bed
from sealward.bedside.credential import Credential, Pins
from sealward.demo.tally import overhead
from sealward.metrics import Metrics
from sealward.packet.profile import BED_1, ICU_1
from sealward.seal import envelope, receipt, slip
from sealward.seal.curve import Hybrid
from sealward.seal.granting import setup
from sealward.seal.kem import Kem
from sealward.seal.receipt import Receipt
from sealward.vitals.reading import Reading
from sealward.wire.spool import Spool, Spooled
from sealward.wire.tls import Identity
from sealward.wire.topics import Alias

ALIAS = Alias("k3v9q0d2m7x5c1p8r4t6w0y2za")
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
EPOCH = 20_780
DAY, MINUTE = 86_400, 60  # seconds
SECOND = 1_000_000_000  # ns
RECORD = 22  # bytes that TLS 1.3 adds to what is sent: header, type, tag
PUBACK = 4 + RECORD
PINGS = 2 * (2 + RECORD)  # bytes of PINGREQ and PINGRESP
PINGED = 2 * 1440  # at most so often a day: keepalive is 30 s
PACK, LOOKED = 10, 20  # seconds: the real process's packs, and how long we look


def credential() -> Credential:
    """Return a credential of today that no custody has given."""
    _, mpk = setup(Kem(Hybrid()), os.urandom(48))
    nowhere = Identity(certificate=Path(), key=Path(), authority=Path())
    return Credential(
        slot=0,
        alias=ALIAS,
        epoch=EPOCH,
        key=ec.generate_private_key(ec.SECP256R1()),
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
            pack_seconds=MINUTE,
        ),
        salts={EPOCH: bytes(32)},
    )


def _stream() -> Iterator[list[Reading]]:
    """Yield each second's readings, recordings laid end to end, over and over."""
    real = BIDMC.exists()
    channels = (group() if real else BED_1.group(0)).channels
    packs = list(recorded(MINUTE) if real else simulated(MINUTE, 400))
    at = int(MIDNIGHT.timestamp()) * SECOND
    for columns in chain.from_iterable(repeat(packs)):
        for row in range(MINUTE):
            yield [
                Reading(
                    vital=channels[place].code,
                    at=at,
                    value=float(channels[place].value(raw)),
                )
                for place, column in columns.items()
                if (raw := column[row]) is not None
            ]
            at += SECOND


class Gateway:
    """A bed and its spool, by a clock that does not wait, and a server that answers."""

    def __init__(self, spool: Spool) -> None:
        identity = ec.generate_private_key(ec.SECP256R1())
        profile = ICU_1 if BIDMC.exists() else BED_1
        self.spool = spool
        self.bed = Bed(credential(), identity, profile, spool, Metrics(), MINUTE * 1000)
        self.bytes: Counter[str] = Counter()
        self.packets = 0
        self._key = ec.generate_private_key(ec.SECP256R1())

    def day(self) -> None:
        """Live a day: read, pack, seal, sign, spool, send, take receipts."""
        stream = _stream()
        for second in range(DAY):
            now = MIDNIGHT + timedelta(seconds=second + 1)
            seen = int(now.timestamp()) * SECOND
            for reading in next(stream):
                self.bed.take(reading, seen)
            if self.bed.tick(now):
                self.send(int(now.timestamp() * 1000))

    def send(self, now_ms: int) -> None:
        """Send what is due, and take the receipt for it."""
        sent = self.spool.window(ALIAS, now_ms)
        for each in sent:
            kind = envelope.NAMES[envelope.Kind(each.kind)]
            size = len(each.body)
            self.bytes["packets"] += size
            self.bytes["MQTT and TLS"] += overhead(ALIAS, kind, size) + PUBACK
        self.packets += len(sent)
        self.spool.sent(sent, now_ms)
        self._receipted(max(sent, key=lambda each: each.seq), now_ms)

    def _receipted(self, last: Spooled, now_ms: int) -> None:
        digest = sha256(last.body).digest()
        self.bytes["receipts"] += self._receipt(last.seq + 1, digest, now_ms)
        self.spool.receipt(ALIAS, EPOCH, last.seq + 1, (), digest, now_ms)

    def _receipt(self, upto: int, digest: bytes, now_ms: int) -> int:
        """Return the size of a receipt as it comes over MQTT, QoS 0, and TLS."""
        message = Receipt(
            epoch=EPOCH, upto=upto, ranges=(), server_ms=now_ms, last=digest
        )
        body = receipt.sign(self._key, ALIAS, message)
        return 3 + 2 + len(f"cmd/{ALIAS}/receipt") + len(body) + RECORD


def rows() -> Iterator[Row]:
    """Measure a gateway."""
    with TemporaryDirectory() as folder, Spool(Path(folder) / "spool.db") as spool:
        gateway = Gateway(spool)
        yield from _day(gateway, cpu(gateway.day))
    yield from _process()


def _day(gateway: Gateway, taken: float) -> Iterator[Row]:
    """Say what a day of packs of a minute took."""
    gateway.bytes["keepalive at most"] = PINGED * PINGS
    yield Row(
        what="a day of 4 vitals at 1 Hz, read, sealed, spooled, receipted",
        value=taken,
        unit="s",
        also={"% of a core": taken / DAY * 100, "packets": gateway.packets},
    )
    yield Row(
        what="a day on the wire",
        value=gateway.bytes.total() / 1000,
        unit="kB",
        also={f"kB {what}": size / 1000 for what, size in gateway.bytes.items()},
    )


def _resident(pid: int) -> float:
    """Return the resident memory of *pid* in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    (kib,) = (int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line)
    return kib / 1024


def _interpreter() -> float:
    """Return the resident memory of an interpreter that does nothing, in MiB."""
    script = "import sys; sys.stdin.readline()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE
    ) as idle:
        time.sleep(0.5)
        found = _resident(idle.pid)
        idle.communicate(b"\n")
    return found


def _process() -> Iterator[Row]:
    """Look at a real gateway's process while it sends."""
    with ward(pack_seconds=PACK) as site:
        (patient,) = site.enrol(1)
        sealed = site.gateway("gateway-1", patient.gateway)
        until(lambda: len(sealed.lines) > 1, 3 * PACK)
        pid = site.site.pids()["gateway-1"]
        shares, sizes = [], []
        for _ in range(LOOKED // 4):
            before = spent([pid])
            time.sleep(4)
            shares.append((spent([pid]) - before) / 4)
            sizes.append(_resident(pid))
    yield Row(
        what="the process of a gateway of one bed",
        value=max(sizes),
        unit="MiB",
        also={"MiB a bare interpreter": _interpreter()},
    )
    yield Row(
        what=f"the same, with packs of {PACK} s",
        value=statistics.mean(shares) * 100,
        unit="% of a core",
    )
