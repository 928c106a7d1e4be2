"""What is not byte for byte what a gateway sealed does not enter the record."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import pytest
from tests.support import attacker
from tests.support.attacker import EPOCH, KID, NOON, Device
from tests.support.intruder import Gateway, Stage, digest, said, soon, word_of
from tests.support.site import until

from sealward import clock
from sealward.custody.consent import Consent, compile_policies
from sealward.errors import UnreadableError
from sealward.intake.door import Door
from sealward.intake.marks import FURTHEST
from sealward.intake.store import key_packed
from sealward.seal import policy, record, signing, slip
from sealward.seal.curve import G1_BYTES
from sealward.seal.envelope import LIMITS, NAMES, Kind
from sealward.seal.kem import MESSAGE
from sealward.seal.receipt import Code

DEVICE = Device()
OTHER = Device(alias="b" * 26, cred=8)


@pytest.fixture(scope="module")
def door() -> Door:
    """Return a door that knows two gateways."""
    made = Door()
    made.learn([DEVICE.row(), OTHER.row()])
    return made


def word(door: Door, packet: bytes, level: str = "vitals", alias: str = "") -> str:
    """Return the word by which *door* refuses *packet*, "" if it admits it."""
    return word_of(lambda: door.admit(alias or DEVICE.alias, level, packet, NOON))


# --- at the door, without a network ------------------------------------------


def test_every_flipped_byte_is_refused(door: Door) -> None:
    """Each bit of the first 64 bytes, and some bit of each byte after."""
    packet = DEVICE.packet(body=bytes(range(200)))
    assert word(door, packet) == ""
    words = set()
    for at in range(len(packet)):
        for bit in range(8) if at < 64 else (at % 8,):
            flipped = bytearray(packet)
            flipped[at] ^= 1 << bit
            words.add(word(door, bytes(flipped)))
    assert "" not in words
    assert {"forged", "malformed", "unsigned", "misplaced"} <= words


def test_every_shortened_packet_is_refused(door: Door) -> None:
    """However short."""
    packet = DEVICE.packet()
    assert word(door, packet) == ""
    assert all(word(door, packet[:size]) for size in range(len(packet)))


@pytest.mark.parametrize("kind", list(Kind))
def test_a_packet_has_the_size_of_its_kind(door: Door, kind: Kind) -> None:
    """A byte more and nothing of it is looked at, the signature least of all."""
    most = LIMITS[kind] - (len(DEVICE.packet(kind=kind, body=bytes(300))) - 300)
    largest = DEVICE.packet(kind=kind, body=bytes(most))
    assert len(largest) == LIMITS[kind]
    assert word(door, largest, NAMES[kind]) == ""
    larger = attacker.regrown(largest, most + 1, DEVICE.key)
    assert len(larger) == LIMITS[kind] + 1
    assert word(door, larger, NAMES[kind]) == "oversize"


def test_a_packet_is_of_its_own_alias(door: Door) -> None:
    """The alias is signed along, so a packet moved to another topic is forged there."""
    ours, theirs = DEVICE.packet(), OTHER.packet()
    assert word(door, ours) == word(door, theirs, alias=OTHER.alias) == ""
    assert word(door, ours, alias=OTHER.alias) == "forged"
    for_another = Device(alias=OTHER.alias, key=DEVICE.key).packet()
    assert word(door, for_another) == "forged"
    assert word(door, for_another, alias=OTHER.alias) == "forged"


def test_a_signature_has_no_twin(door: Door) -> None:
    """The high s of the same signature is valid ECDSA, and refused."""
    packet = DEVICE.packet()
    low = int.from_bytes(packet[-32:])
    twin = packet[:-32] + (signing.P256_ORDER - low).to_bytes(32)
    assert word(door, packet) == ""
    assert word(door, twin) == "forged"


def test_a_packet_stands_on_the_topic_of_its_signed_kind(door: Door) -> None:
    """A topic is not signed; the kind is."""
    for kind in Kind:
        packet = DEVICE.packet(kind=kind)
        for level in NAMES.values():
            expected = "" if level == NAMES[kind] else "misplaced"
            assert word(door, packet, level) == expected


# --- key records -------------------------------------------------------------

P = int(  # the field under BLS12-381
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f624"
    "1eabfffeb153ffffb9feffffffffaaab",
    16,
)


def test_a_point_of_the_wrong_subgroup_opens_nothing() -> None:
    """The reader refuses it by itself; the door stores it, for it cannot look."""
    x = next(x for x in range(1, 99) if pow(x**3 + 4, (P - 1) // 2, P) == 1)
    stray = bytes([0x80]) + x.to_bytes(47)  # on the curve, and outside its subgroup
    assert word_of(lambda: attacker.KEM.g1(stray)) == "point"
    content = DEVICE.content()
    capsule = record.read(content.record).recipients[0].capsule
    leaves = len(capsule) - MESSAGE - 2 * G1_BYTES
    for at in (leaves, leaves + G1_BYTES):
        broken = capsule[:at] + stray + capsule[at + G1_BYTES :]
        body = content.record.replace(capsule, broken)
        with pytest.raises(UnreadableError) as refused:
            attacker.read_record(body, DEVICE)
        assert refused.value.reason == "unreadable"
        packet = DEVICE.packet(kind=Kind.KEY, body=body, kid=content.kid)
        assert stores_opaque(packet)
    assert attacker.read_record(content.record, DEVICE).kid == content.kid


def stores_opaque(packet: bytes) -> bool:
    """Say whether intake takes the key *packet* without having opened it."""
    door = Door()
    door.learn([DEVICE.row()])
    admitted = door.admit(DEVICE.alias, "key", packet, NOON)
    return bool(key_packed(admitted, NOON))


def test_a_record_is_of_the_packet_around_it() -> None:
    """A gateway cannot bring another's record under its own name, nor hide one."""
    own, theirs = DEVICE.content(), OTHER.content()
    door = Door()
    door.learn([DEVICE.row()])
    for body, kid, reason in (
        (own.record, own.kid, ""),
        (own.record, KID, "mismatch"),
        (theirs.record, theirs.kid, "mismatch"),
        (own.record + b"\0", own.kid, "trailing"),
        (own.record[:-1], own.kid, "malformed"),
    ):
        packet = DEVICE.packet(kind=Kind.KEY, body=body, kid=kid)
        admitted = door.admit(DEVICE.alias, "key", packet, NOON)
        assert word_of(partial(key_packed, admitted, NOON)) == reason


# --- policies ----------------------------------------------------------------


def wide(leaves: int) -> policy.Gate:
    """Return a policy of *leaves* attributes that a nurse satisfies."""
    others = tuple(f"care:{number:03d}" for number in range(leaves - 1))
    return policy.Gate(1, tuple(sorted(("role:nurse", *others))))


def deep(gates: int) -> policy.Tree:
    """Return a policy of so many *gates*, within each other; the outermost is "or"."""
    tree: policy.Tree = "role:nurse"
    for number in range(gates):
        tree = policy.Gate(1 + (gates - 1 - number) % 2, ("a:1", tree))
    return tree


def test_custody_compiles_no_policy_over_its_limits() -> None:
    """Refused when consent is given, not when a gateway can no longer seal."""
    purposes = ("care", "research")
    for studies, expected in ((20, ""), (40, "overlimit")):
        names = [f"s{number}" for number in range(studies)]
        consent = Consent(ward="icu", care="x", purposes=purposes, studies=names)
        assert word_of(partial(compile_policies, consent)) == expected


def test_a_slip_with_a_policy_over_its_limits_is_not_obeyed() -> None:
    """Its time clause counts: three leaves more, and a gate."""
    for tree, expected in (
        (wide(61), ""),
        (wide(62), "overlimit"),
        (deep(7), ""),
        (deep(8), "overlimit"),
    ):
        text = policy.text(tree)
        assert word_of(partial(slip.lint, text, EPOCH)) == expected


def test_a_record_with_a_policy_over_its_limits_is_not_opened() -> None:
    """A gateway can wrap what it likes; the reader stops before any pairing."""
    entitled = ("role:nurse", "a:1")
    for tree, expected in (
        (wide(policy.LEAVES), ""),
        (wide(policy.LEAVES + 1), "overlimit"),
        (deep(policy.DEPTH), ""),
        (deep(policy.DEPTH + 1), "malformed"),
    ):
        body = DEVICE.content(policy_text=tree).record
        assert (
            word_of(partial(attacker.read_record, body, DEVICE, *entitled)) == expected
        )


# --- on a running site -------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Attack:
    """What a stolen gateway publishes on a topic of its own, and what becomes of it."""

    seq: int  # each attack's own
    word: str
    make: Callable[[Gateway, Gateway, int, int], bytes]  # own, other, number, slot
    level: str = "vitals"
    code: Code | None = None  # what the gateway hears, if its own key signed a number


def borrowed_record(own: Gateway, other: Gateway, seq: int, slot: int) -> bytes:
    """Return *other*'s key record in a packet that *own* signed."""
    content = other.content()
    return own.packet(seq, Kind.KEY, slot=slot, body=content.record, kid=content.kid)


ATTACKS: Mapping[str, Attack] = {
    "unsigned": Attack(
        seq=1,
        word="unsigned",
        make=lambda own, _, seq, slot: attacker.unsigned(own.packet(seq, slot=slot)),
    ),
    "encrypted-only": Attack(
        seq=2,
        word="unsigned",
        make=lambda own, _, seq, slot: attacker.sealed_only(own.packet(seq, slot=slot)),
    ),
    "signed-by-another": Attack(
        seq=3,
        word="forged",
        make=lambda own, other, seq, slot: Device(
            alias=own.alias, epoch=own.epoch, key=other.key
        ).packet(seq, slot=slot),
    ),
    "signed-for-another": Attack(
        seq=4,
        word="forged",
        make=lambda own, other, seq, slot: Device(
            alias=other.alias, epoch=own.epoch, key=own.key
        ).packet(seq, slot=slot),
    ),
    "of-another-alias": Attack(
        seq=5,
        word="forged",
        make=lambda _, other, seq, slot: other.packet(seq, slot=slot),
    ),
    "no-cbor": Attack(seq=6, word="malformed", make=lambda *_: b"\xff" * 90),
    "deep-cbor": Attack(seq=7, word="malformed", make=lambda *_: b"\x81" * 4000),
    "count-bomb": Attack(
        seq=8, word="malformed", make=lambda *_: b"\xd2\x9b" + b"\xff" * 8
    ),
    "algorithm": Attack(
        seq=9,
        word="algorithm",
        make=lambda own, _, seq, slot: attacker.of_algorithm(
            own.packet(seq, slot=slot), -35
        ),
    ),
    "algorithm-none": Attack(
        seq=10,
        word="algorithm",
        make=lambda own, _, seq, slot: attacker.of_algorithm(
            own.packet(seq, slot=slot), 0
        ),
    ),
    "oversize": Attack(
        seq=11,
        word="oversize",
        make=lambda own, _, seq, slot: attacker.regrown(
            own.packet(seq, slot=slot), 17_000, own.key
        ),
    ),
    "trailing": Attack(
        seq=12,
        word="trailing",
        make=lambda own, _, seq, slot: own.packet(seq, slot=slot) + b"\0",
    ),
    "on-another-topic": Attack(
        seq=13,
        word="misplaced",
        make=lambda own, _, seq, slot: own.packet(seq, slot=slot),
        level="wave",
    ),
    "on-no-topic": Attack(
        seq=14,
        word="misplaced",
        make=lambda own, _, seq, slot: own.packet(seq, slot=slot),
        level="diagnosis",
    ),
    "record-of-another": Attack(
        seq=15,
        word="mismatch",
        make=borrowed_record,
        level="key",
        code=Code.MALFORMED,
    ),
    "of-yesterday": Attack(
        seq=16,
        word="epoch",
        make=lambda own, _, seq, slot: own.packet(seq, slot=slot, epoch=own.epoch - 1),
        code=Code.EPOCH,
    ),
    "of-next-week": Attack(
        seq=17,
        word="epoch",
        make=lambda own, _, seq, slot: own.packet(seq, slot=slot, epoch=own.epoch + 7),
        code=Code.EPOCH,
    ),
    "out-of-reach": Attack(
        seq=2 * FURTHEST,
        word="far",
        make=lambda own, _, seq, slot: own.packet(seq, slot=slot),
        code=Code.TIME,
    ),
}
HONEST = 0  # the number of the one packet that is as it should be


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a stolen gateway published, what it heard, and what was counted."""

    own: Gateway
    packets: Mapping[str, bytes]
    honest: bytes
    codes: Mapping[int, Code]
    counted: Mapping[str, int]  # how often intake refused meanwhile, by word


@pytest.fixture(scope="module")
def tried(stage: Stage) -> Tried:
    """Let a gateway be honest, and then try everything."""
    own, other = stage.gateway(), stage.gateway()
    slot = own.slot(int(clock.now().timestamp() * 1000))
    packets = {
        name: each.make(own, other, each.seq, slot) for name, each in ATTACKS.items()
    }
    honest = own.packet(HONEST, slot=slot)
    before = refusals(stage)

    async def run() -> Mapping[int, Code]:
        async with stage.session(own) as client:
            await said(client, own.topic(), honest)
            await soon(lambda: own.upto(client) == 1)
            for name, packet in packets.items():
                await said(client, own.topic(ATTACKS[name].level), packet)
            told = sum(attack.code is not None for attack in ATTACKS.values())
            await soon(lambda: len(own.codes(client)) == told)
            return own.codes(client)

    codes = asyncio.run(run())
    until(lambda: sum(n for n, _ in stage.refused(own.cred).values()) == len(ATTACKS))
    until(lambda: (refusals(stage) - before).total() >= len(ATTACKS))
    return Tried(
        own=own,
        packets=packets,
        honest=honest,
        codes=codes,
        counted=refusals(stage) - before,
    )


def refusals(stage: Stage) -> Counter[str]:
    """Return how many packets intake has refused, by word."""
    head = 'sealward_packets_refused{reason="'
    return Counter(
        {
            name.removeprefix(head).removesuffix('"}'): count
            for name, count in stage.counters("intake").items()
            if name.startswith(head)
        }
    )


@pytest.mark.parametrize("name", ATTACKS)
def test_a_stolen_gateway_brings_in_nothing_else(
    stage: Stage, tried: Tried, name: str
) -> None:
    """Refused by its word: counted, kept as a row, and told where it names a number."""
    attack, packet = ATTACKS[name], tried.packets[name]
    alike = [other for other, each in ATTACKS.items() if each.word == attack.word]
    count, first = stage.refused(tried.own.cred)[attack.word]
    assert count == len(alike)
    assert first == digest(tried.packets[alike[0]])
    assert tried.counted[attack.word] >= len(alike)
    assert tried.codes.get(attack.seq) == attack.code
    stored = stage.stored(tried.own.cred)
    assert packet not in stored.values()
    assert stored == {(tried.own.epoch, HONEST): tried.honest}
