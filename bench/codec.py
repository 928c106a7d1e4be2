"""(a) Bytes a reading and µs a pack, beside what others would send."""

import itertools
import json
import zlib
from collections.abc import Callable, Iterator, Sequence

import cbor2
import zstandard
from bench.recordings import BIDMC, Columns, group, recorded, simulated
from bench.table import Row, median_us, percentile
from cryptography.hazmat.primitives.asymmetric import ec

from sealward.packet import octets, sr1
from sealward.packet.profile import BED_1, Group
from sealward.seal import keys, signing
from sealward.seal.curve import Hybrid
from sealward.seal.envelope import Kind
from sealward.seal.granting import setup
from sealward.seal.kem import Kem
from sealward.seal.sealing import ContentKey

SECTION = "a codec"
START = 1_795_444_200  # seconds since 1970


def readings(columns: Columns) -> int:
    """Return how many readings are in *columns*."""
    return sum(raw is not None for column in columns.values() for raw in column)


def objects(columns: Columns, of: Group) -> list[bytes]:
    """Return one JSON object a reading, as the usual stack sends it."""
    return [
        json.dumps(
            {
                "device_id": "wear-7f3a91c2",
                "patient_id": "3f2b8c1e-9d4a-4b7e-8f60-2a1c5d9e7b44",
                "type": of.channels[place].code,
                "value": raw,
                "unit": of.channels[place].ucum,
                "timestamp": f"2026-11-23T14:30:{row:02d}.000Z",
            }
        ).encode()
        for place, column in columns.items()
        for row, raw in enumerate(column)
        if raw is not None
    ]


def array(columns: Columns, of: Group) -> bytes:
    """Return all of *columns* as one JSON array of objects."""
    return b"[" + b",".join(objects(columns, of)) + b"]"


def senml(columns: Columns, of: Group) -> bytes:
    """Return SenML in CBOR (RFC 8428) with a base name and a base time."""
    records: list[dict[int, object]] = []
    for place, column in columns.items():
        for row, raw in enumerate(column):
            if raw is not None:
                records.append({0: of.channels[place].code, 6: row, 2: raw})
    records[0] |= {-2: "urn:sealward:x:", -3: START}
    return cbor2.dumps(records)


def columnar(columns: Columns) -> bytes:
    """Return columns of zigzagged differences, a varint each, gaps as runs."""
    out = bytearray()
    for place, column in columns.items():
        out += octets.leb(place)
        last = 0
        for raw in column:
            if raw is None:
                out += octets.leb(1)
            else:
                out += octets.leb(octets.zigzag(raw - last) + 2)
                last = raw
    return bytes(out)


def _mean(sizes: Sequence[int], count: int) -> float:
    return sum(sizes) / count


def rows() -> Iterator[Row]:
    """Measure the codec."""
    if not BIDMC.exists():
        print(f"no recordings at {BIDMC}: the codec is measured on simulated people")
    of = group() if BIDMC.exists() else BED_1.group(0)
    for seconds in (10, 60, 300):
        packs = (
            list(recorded(seconds)) if BIDMC.exists() else list(simulated(seconds, 60))
        )
        yield from _sizes(f"{seconds} s, recordings", packs, of, full=seconds == 60)
    yield from _sizes("600 s, simulator", list(simulated(600, 40)), BED_1.group(0))
    yield from _packets(of)


def _sizes(
    name: str, packs: Sequence[Columns], of: Group, *, full: bool = False
) -> Iterator[Row]:
    count = sum(map(readings, packs))
    length = max(len(column) for column in packs[0].values())

    def size(make: Callable[[Columns], bytes]) -> float:
        return _mean([len(make(columns)) for columns in packs], count)

    def ours(columns: Columns) -> bytes:
        return sr1.encode(of, 0, length, columns)

    yield Row(section=SECTION, what=f"sr1, {name}", value=size(ours), unit="B/reading")
    squeeze = zstandard.ZstdCompressor(level=19)
    rivals: dict[str, Callable[[Columns], bytes]] = {
        "columnar delta + zstd-19": lambda c: squeeze.compress(columnar(c)),
        "SenML-CBOR + zstd-19": lambda c: squeeze.compress(senml(c, of)),
    }
    if full:
        rivals |= {
            "JSON array": lambda c: array(c, of),
            "JSON array + zlib": lambda c: zlib.compress(array(c, of), 9),
            "JSON, an object a reading": lambda c: b"".join(objects(c, of)),
        }
    for rival, make in rivals.items():
        yield Row(
            section=SECTION,
            what=f"{rival}, {name}",
            value=size(make),
            unit="B/reading",
        )
    encoded = [ours(columns) for columns in packs[:64]]
    loop = itertools.cycle(packs[:64])
    written = median_us(lambda: ours(next(loop)), 64)
    yield Row(
        section=SECTION, what=f"sr1 encode, {name}", value=written, unit="us/pack"
    )
    again = itertools.cycle(encoded)
    taken = median_us(lambda: sr1.decode(lambda _: of, next(again)), 64)
    yield Row(section=SECTION, what=f"sr1 decode, {name}", value=taken, unit="us/pack")


def _packets(of: Group) -> Iterator[Row]:
    """Measure whole packets of a minute: packed, padded, sealed and signed."""
    kem = Kem(Hybrid())
    _, mpk = setup(kem, bytes(range(48)))
    key = ec.generate_private_key(ec.SECP256R1())
    content = ContentKey.make(
        kem,
        alias="k3v9q0d2m7x5c1p8r4t6w0y2za",
        epoch=20_780,
        purpose=keys.LIVE,
        salt=bytes(32),
        salt_epoch=20_780,
        mpk=kem.master(mpk),
        policy_text="role:nurse",
        policy_number=1,
        pseudonym="7g4m2qk9x0tb",
        profile_hash=bytes(32),
        idevid=key,
        ldevid=signing.spki(key.public_key()),
        random=bytes(80),
    )
    packs = list(recorded(60)) if BIDMC.exists() else list(simulated(60, 400))
    sizes = []
    for number, columns in enumerate(packs):
        plain = sr1.encode(of, 417, 60, columns)
        # Numbers and slots of the middle of a day, whose heads are of usual length.
        seq = 300 + number
        packet = content.seal(Kind.VITALS, seq, 4000, plain, signing_key=key)
        sizes.append(len(packet))
    mean = sum(sizes) / len(sizes)
    name = "signed and sealed packet of 60 s, 4 vitals at 1 Hz"
    yield Row(section=SECTION, what=f"{name}, mean", value=mean, unit="B", most=180)
    p95 = percentile(sizes, 0.95)
    yield Row(section=SECTION, what=f"{name}, p95", value=p95, unit="B")
    yield Row(section=SECTION, what=f"{name}, largest", value=max(sizes), unit="B")
    each = mean * len(packs) / sum(map(readings, packs))
    yield Row(section=SECTION, what=f"{name}", value=each, unit="B/reading")
