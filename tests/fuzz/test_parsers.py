"""One target for a fuzzer, and a bounded run of it.

Whatever the bytes, the parsers refuse them or agree with the writers.
``atheris.Setup(sys.argv, one)`` takes the target as it is; nothing here needs atheris.
"""

import random
from contextlib import suppress

from sealward.packet import cbor, event, sr1
from sealward.packet.octets import CodecError
from sealward.packet.profile import BED_1, ICU_1, Profile, ProfileError

PROFILE, EVENT, CBOR = 253, 254, 255  # first bytes; below them come tables


def one(data: bytes) -> None:
    """Hand *data*, behind its first byte, to the parser that this byte names.

    Whatever is read must be written as something that is read the same.
    """
    if not data:
        return
    first, rest = data[0], data[1:]
    padded, derived = bool(first & 1), bool(first & 2)
    with suppress(CodecError, ProfileError):
        if first == CBOR:
            assert cbor.dumps(cbor.loads(rest)) == rest
        elif first == PROFILE:
            assert Profile.decode(rest).encode() == rest
        elif first == EVENT:
            read = event.decode(rest)
            assert event.encode(read.code, read.at_ms, read.details) == rest
        else:
            table(rest, padded=padded, derived=derived)


def table(data: bytes, *, padded: bool, derived: bool) -> None:
    """Read a table; if it is one, write it and read it again."""
    read = sr1.decode(BED_1, data, padded=padded, derived=derived)
    again = sr1.encode(
        BED_1.group(read.group),
        read.offset,
        read.rows,
        read.columns,
        padded=padded,
        source=read.source,
    )
    assert sr1.decode(BED_1, again, padded=padded, derived=derived) == read


ROUNDS = 10_000  # about a second; a fuzzer does the rest
SOURCE = sr1.Source("k3v9q0d2m7x5c1p8r4t6w0y2za", 20_514, 4_320)
SEEDS = [
    bytes([PROFILE]) + ICU_1.encode(),
    bytes([CBOR]) + ICU_1.encode(),
    bytes([EVENT]) + event.encode("asystole", 9, {1: [1.5, None, {2: b"x"}]}),
    b"\x01"
    + sr1.encode(
        BED_1.group(0),
        417,
        60,
        {
            0: [72 + n * n % 5 for n in range(60)],
            1: [97] * 60,
            2: [None if n % 9 > 5 else 14 for n in range(60)],
            3: [1000 + 3499 * (n % 2) for n in range(60)],
        },
    ),
    b"\x00"
    + sr1.encode(
        BED_1.group(2), 0, 300, {0: [n * n % 1001 for n in range(300)]}, padded=False
    ),
    b"\x03" + sr1.encode(BED_1.group(8), 0, 2, {0: [60, 59]}, source=SOURCE),
]


def damaged(seed: bytes, lots: random.Random) -> bytes:
    """Return *seed* with a few bytes changed, taken out, doubled or put in."""
    data = bytearray(seed)
    for _ in range(lots.randint(1, 4)):
        place = lots.randrange(1, len(data))
        piece = data[place : place + lots.randrange(8)]
        match lots.randrange(4):
            case 0:
                data[place] ^= 1 << lots.randrange(8)
            case 1 if len(data) > 2 + len(piece):
                del data[place : place + len(piece)]
            case 2:
                data[place:place] = piece
            case _:
                data[place:place] = lots.randbytes(2)
    return bytes(data)


def test_every_seed_is_whole() -> None:
    """A seed that is refused would lead the fuzzer nowhere."""
    for seed in SEEDS:
        one(seed)
    assert sr1.decode(BED_1, SEEDS[3][1:]).rows == 60


def test_no_bytes_break_a_parser() -> None:
    """Nothing but a refusal comes out, and what is read is written the same."""
    lots = random.Random(random.getrandbits(64))  # noqa: S311 - the run's own seed
    for _ in range(ROUNDS):
        one(damaged(lots.choice(SEEDS), lots))
        one(lots.randbytes(lots.randrange(80)))
