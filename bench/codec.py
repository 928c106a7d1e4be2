"""Bytes a reading and µs a pack, beside what others would send."""

import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bench import rivals
from bench.clocks import often, turns
from bench.recordings import BIDMC, Columns, group, recorded, simulated
from bench.table import Row, note
from cryptography.hazmat.primitives.asymmetric import ec

from sealward.packet import sr1
from sealward.packet.profile import BED_1, Group
from sealward.seal import keys, signing
from sealward.seal.curve import Hybrid
from sealward.seal.envelope import Kind
from sealward.seal.granting import setup
from sealward.seal.kem import Kem
from sealward.seal.sealing import ContentKey

CHUNK, ROUNDS = 16, 9  # packs of a turn, and turns
MINUTE = 60  # seconds; the usual pack
SPAN = 24_000  # seconds of a simulated person
DAY = 86_400 // MINUTE  # packs
ALIAS, EPOCH = "k3v9q0d2m7x5c1p8r4t6w0y2za", 20_780


def readings(columns: Columns) -> int:
    """Return how many readings are in *columns*."""
    return sum(raw is not None for column in columns.values() for raw in column)


def rows() -> Iterator[Row]:
    """Measure the codec on real recordings, or on simulated people without them."""
    real = BIDMC.exists()
    if not real:
        note(f"no recordings at {BIDMC}: simulated people serve instead")
    of = group() if real else BED_1.group(0)
    minutes: list[Columns] = []
    for seconds in (10, MINUTE, 300):
        packs = list(recorded(seconds) if real else simulated(seconds, SPAN // seconds))
        minutes = packs if seconds == MINUTE else minutes
        yield from _formats(f"{seconds} s", packs, of)
    packs = list(simulated(600, SPAN // 600))
    yield from _formats("600 s, simulated", packs, BED_1.group(0))
    yield from _packets(minutes, of)


def _formats(name: str, packs: Sequence[Columns], of: Group) -> Iterator[Row]:
    """Compare the formats of *packs*; all but ours are rivals."""
    length = max(len(column) for column in packs[0].values())

    def ours(columns: Columns, of: Group) -> bytes:
        return sr1.encode(of, 0, length, columns)

    formats: dict[str, Callable[[Columns, Group], bytes]] = {"sr1": ours}
    formats |= rivals.FORMATS
    written = {
        form: often(partial(_next, itertools.cycle(packs), of, write), CHUNK)
        for form, write in formats.items()
    }
    encoded = itertools.cycle([ours(columns, of) for columns in packs[:256]])
    reading = often(lambda: sr1.decode(lambda _: of, next(encoded)), CHUNK)
    taken = turns(written | {"read": reading}, ROUNDS)
    cost = {each: statistics.median(found) for each, found in taken.items()}
    count = sum(map(readings, packs))
    for form, write in formats.items():
        also = {"us to write a pack": cost[form] / CHUNK * 1e6}
        if form == "sr1":
            also["us to read one"] = cost["read"] / CHUNK * 1e6
        yield Row(
            what=f"{name}: {form}",
            value=sum(len(write(columns, of)) for columns in packs) / count,
            unit="B a reading",
            also=also,
        )


def _next(
    packs: Iterator[Columns], of: Group, write: Callable[[Columns, Group], bytes]
) -> bytes:
    return write(next(packs), of)


def content_key(signing_key: ec.EllipticCurvePrivateKey) -> ContentKey:
    """Return a content key of a gateway whose keys are all *signing_key*."""
    kem = Kem(Hybrid())
    _, mpk = setup(kem, bytes(range(48)))
    return ContentKey.make(
        kem,
        alias=ALIAS,
        epoch=EPOCH,
        purpose=keys.LIVE,
        salt=bytes(32),
        salt_epoch=EPOCH,
        mpk=kem.master(mpk),
        policy_text="role:nurse",
        policy_number=1,
        pseudonym="7g4m2qk9x0tb",
        profile_hash=bytes(32),
        idevid=signing_key,
        ldevid=signing.spki(signing_key.public_key()),
        random=bytes(80),
    )


def _packets(packs: Sequence[Columns], of: Group) -> Iterator[Row]:
    """Measure whole packets of a minute: packed, padded, sealed and signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    content = content_key(key)
    sizes = []
    for number, columns in enumerate(packs):
        plain = sr1.encode(of, 417, MINUTE, columns)
        # Numbers and slots as a day has them, or their heads would be too short.
        seq = number * DAY // len(packs) + 1
        slot = number * 6 * DAY // len(packs)
        packet = content.seal(Kind.VITALS, seq, slot, plain, signing_key=key)
        sizes.append(len(packet))
    mean = sum(sizes) / len(sizes)
    count = sum(map(readings, packs))
    yield Row(
        what=f"{MINUTE} s: signed and sealed packet, mean",
        value=mean,
        unit="B",
        most=180,
        also={"B a reading": sum(sizes) / count},
    )
    cuts = statistics.quantiles(sizes, n=100, method="inclusive")
    yield Row(what=f"{MINUTE} s: the same, 95 of 100", value=cuts[94], unit="B")
    yield Row(what=f"{MINUTE} s: the same, largest", value=max(sizes), unit="B")
    for form, least in (
        ("JSON, an object a reading", 200.0),
        ("JSON, an array", 90.0),
        ("JSON, an array under zlib", 4.0),
    ):
        theirs = sum(len(rivals.FORMATS[form](columns, of)) for columns in packs)
        yield Row(
            what=f"{MINUTE} s: {form} / signed and sealed packet",
            value=theirs / sum(sizes),
            unit="x",
            least=least,
        )
