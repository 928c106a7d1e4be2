"""Hijacked and modified data: nothing that was changed on its way is admitted."""

from collections.abc import Callable

import cbor2
import pytest
from tests.support.sender import KID, NOON, Sender, door

from sealward.errors import RefusalError
from sealward.seal import envelope, signing
from sealward.seal.envelope import Kind
from sealward.seal.signing import P256_ORDER

HONEST = Sender()
OTHER = Sender(alias="h8w2n6c4j0z5b1f7s3e9y2k6ax", cred=8)
GOOD = HONEST.packet()


def parts(packet: bytes) -> list[object]:
    """Return the four items of a COSE_Sign1."""
    return list(cbor2.loads(packet).value)


def again(items: list[object], tag: int = 18) -> bytes:
    """Return the message of *items*."""
    return cbor2.dumps(cbor2.CBORTag(tag, items))


def unsigned() -> bytes:
    """Return the packet without its signature."""
    return again([*parts(GOOD)[:3], b""])


def encrypted_only() -> bytes:
    """Return a COSE_Encrypt0, which no signature can be missing from."""
    return cbor2.dumps(cbor2.CBORTag(16, [parts(GOOD)[0], {}, bytes(40)]))


def other_algorithm() -> bytes:
    """Return the packet with EdDSA in its header."""
    return again([cbor2.dumps({1: -8, 4: KID}), *parts(GOOD)[1:]])


def high_s() -> bytes:
    """Return the packet's twin: the same signature with the other s."""
    r, s = GOOD[-64:-32], int.from_bytes(GOOD[-32:])
    return GOOD[:-64] + r + (P256_ORDER - s).to_bytes(32)


def signed_by_another() -> bytes:
    """Return what another gateway signed for this alias."""
    return OTHER.packet(alias=HONEST.alias)


def signed_for_another() -> bytes:
    """Return what this gateway signed for another alias."""
    return HONEST.packet(alias=OTHER.alias)


def long_number() -> bytes:
    """Return the packet with a number that is not in its shortest form."""
    return GOOD.replace(b"\x85\x00\x00", b"\x85\x18\x00\x00", 1)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (unsigned, "unsigned"),
        (encrypted_only, "unsigned"),
        (other_algorithm, "algorithm"),
        (high_s, "forged"),
        (signed_by_another, "forged"),
        (signed_for_another, "forged"),
        (lambda: GOOD + b"\0", "trailing"),
        (lambda: GOOD[:-1], "malformed"),
        (lambda: b"\xff" * 40, "malformed"),
        (lambda: b"", "malformed"),
        (lambda: cbor2.dumps({"kind": 0}), "malformed"),
        (long_number, "malformed"),
        (lambda: HONEST.packet(slot=8639)[:-70] + b"\x5f" * 70, "malformed"),
    ],
)
def test_a_changed_packet_is_refused_by_name(
    make: Callable[[], bytes], word: str
) -> None:
    """Each hostile act has its word; the honest packet passes the same door."""
    guarded = door(HONEST, OTHER)
    with pytest.raises(RefusalError) as refused:
        guarded.admit(HONEST.alias, "vitals", make(), NOON)
    assert refused.value.reason == word
    assert guarded.admit(HONEST.alias, "vitals", GOOD, NOON).packet.seq == 0


def test_no_bit_of_a_packet_can_be_changed() -> None:
    """Every single flipped bit is refused, and the packet as it was is not."""
    guarded = door(HONEST)
    for at in range(len(GOOD)):
        for bit in range(0, 8, 2):
            changed = bytearray(GOOD)
            changed[at] ^= 1 << bit
            with pytest.raises(RefusalError):
                guarded.admit(HONEST.alias, "vitals", bytes(changed), NOON)
    assert guarded.admit(HONEST.alias, "vitals", GOOD, NOON).packet.seq == 0


def test_a_packet_cannot_be_moved_to_another_alias() -> None:
    """The alias is signed and not sent: another topic makes it a forgery."""
    guarded = door(HONEST, OTHER)
    with pytest.raises(signing.ForgedError):
        guarded.admit(OTHER.alias, "vitals", GOOD, NOON)
    assert guarded.admit(HONEST.alias, "vitals", GOOD, NOON).packet.seq == 0


def test_a_packet_cannot_pass_for_another_kind() -> None:
    """The topic must say the kind that was signed."""
    guarded = door(HONEST)
    with pytest.raises(envelope.MisplacedError):
        guarded.admit(HONEST.alias, "wave", GOOD, NOON)
    assert guarded.admit(HONEST.alias, "vitals", GOOD, NOON).packet.seq == 0


def test_a_worker_sends_no_vitals() -> None:
    """A worker derives; readings come from a bed alone."""
    worker = Sender(profile="worker")
    guarded = door(worker)
    with pytest.raises(RefusalError) as refused:
        guarded.admit(worker.alias, "vitals", worker.packet(), NOON)
    assert refused.value.reason == "kind"
    rollup = worker.packet(kind=Kind.ROLLUP)
    assert guarded.admit(worker.alias, "rollup", rollup, NOON).packet.seq == 0


@pytest.mark.parametrize("kind", [k for k in Kind if k is not Kind.ALARM])
def test_no_kind_may_be_larger_than_its_limit(kind: Kind) -> None:
    """A packet beyond its kind's limit is refused before its signature is looked at."""
    limit = envelope.LIMITS[kind]
    honest = HONEST.packet(kind=kind, body=bytes(limit - 200))
    large = honest[:11] + bytes(limit)
    guarded = door(HONEST)
    level = envelope.NAMES[kind]
    with pytest.raises(RefusalError):
        guarded.admit(HONEST.alias, level, large, NOON)
    assert guarded.admit(HONEST.alias, level, honest, NOON).packet.seq == 0


def test_an_oversize_packet_says_so() -> None:
    """A whole, signed vitals packet of 17 KiB is refused as oversize."""
    payload = cbor2.dumps([0, 0, 4320, 20_780, bytes(17 * 1024)])
    aad = cbor2.dumps(["smqtt/1 packet", HONEST.alias])
    large = signing.sign1(HONEST.key, KID, payload, aad)
    guarded = door(HONEST)
    with pytest.raises(envelope.OversizeError):
        guarded.admit(HONEST.alias, "vitals", large, NOON)
    assert guarded.admit(HONEST.alias, "vitals", GOOD, NOON).packet.seq == 0
