"""Sealing and opening cost little more than the arithmetic that they stand on."""

import time
from collections.abc import Callable
from hashlib import sha256

from bench.ratio import ratio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from sealward.seal import envelope, keys, opening, policy, signing
from sealward.seal.attributekey import AttributeKey
from sealward.seal.curve import Hybrid
from sealward.seal.envelope import Kind
from sealward.seal.granting import grant, setup
from sealward.seal.kem import ATTRIBUTE_DST, Kem
from sealward.seal.sealing import ContentKey
from sealward.seal.sharing import R

KEM = Kem(Hybrid())
B = KEM.backend
ALPHA, MPK = setup(KEM, bytes(range(48)))
MASTER = KEM.master(MPK)
ALIAS, EPOCH = "k3v9q0d2m7x5c1p8r4t6w0y2za", 20780
GATEWAY = ec.derive_private_key(7, ec.SECP256R1())
PLAINTEXT = bytes(67)  # four vitals for a minute, padded
LARGE = R // 3


def microseconds(act: Callable[[], object], times: int) -> float:
    """Return the best of five means over *times* runs of *act*."""
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(times):
            act()
        best = min(best, (time.perf_counter() - begin) / times)
    return best * 1e6


def names(count: int) -> list[str]:
    """Return *count* attributes."""
    return [f"attr:{number}" for number in range(count)]


def primitives(g1: int, h1: int, g2: int, pairs: int) -> None:
    """Do so many multiplications and hashes, and one pairing of *pairs*."""
    ps = [B.mul(B.g1, LARGE) for _ in range(g1)]
    qs = [B.mul(B.g2, LARGE) for _ in range(g2)]
    for number in range(h1):
        B.h1(b"%d" % number, ATTRIBUTE_DST)
    if pairs:
        B.pair(ps[:pairs], qs[:pairs])


def test_wrapping_a_secret_costs_its_arithmetic() -> None:
    """Ten leaves: 21 G1, 10 hashes, 2 G2, one pairing, and a tenth at most."""
    tree = policy.parse(" and ".join(names(10)))
    cold = ratio(
        lambda: Kem(B).encapsulate(MASTER, tree, b"", bytes(32)),
        lambda: primitives(21, 11, 2, 1),
    )
    print(f"encapsulation of ten leaves: {cold:.3f} x its primitives")
    assert cold < 1.15


def test_unwrapping_costs_one_multi_pairing_and_one_wrapping() -> None:
    """The check by encryption costs what encryption costs, and no more."""
    tree, held = policy.parse(" and ".join(names(10))), names(10)
    data = grant(KEM, ALPHA, held, bytes(48), person="p", issuance=1)
    key = opening.load(KEM, AttributeKey.decode(data))
    ciphertext, _ = KEM.encapsulate(MASTER, tree, b"", bytes(32))
    chosen = dict.fromkeys(range(10), 1)

    def message() -> None:
        opening._message(KEM, key, tree, chosen, ciphertext)  # noqa: SLF001 - a part

    def both() -> None:
        message()
        KEM.encapsulate(MASTER, tree, b"", bytes(32))

    p = [B.mul(B.g1, LARGE + i) for i in range(3)]
    q = [B.mul(B.g2, LARGE + i) for i in range(3)]
    bare = ratio(message, lambda: B.pair(p, q), rounds=25)
    whole = ratio(
        lambda: opening.decapsulate(KEM, key, tree, ciphertext, b""), both, rounds=25
    )
    print(f"the message alone: {bare:.2f} x one multi-pairing of three")
    print(f"decapsulation: {whole:.3f} x message and encapsulation")
    assert bare < 1.7
    assert whole < 1.1


def test_a_key_of_twenty_attributes_costs_its_arithmetic() -> None:
    """22 G1, 20 hashes, 1 G2 and the public key."""
    held = names(20)
    cost = ratio(
        lambda: grant(Kem(B), ALPHA, held, bytes(48), person="p", issuance=1),
        lambda: primitives(22, 21, 2, 0),
    )
    print(f"a key of twenty attributes: {cost:.3f} x its primitives")
    assert cost < 1.15


def test_the_door_costs_hardly_more_than_the_signature() -> None:
    """Reading is a few microseconds; verifying adds little to OpenSSL's verify."""
    body = bytes(83)
    packet = envelope.seal_packet(
        GATEWAY, ALIAS, b"kidd", Kind.VITALS, 700, 5220, EPOCH, body
    )
    public, algorithm = GATEWAY.public_key(), ec.ECDSA(hashes.SHA256())
    signature = GATEWAY.sign(packet, algorithm)
    read = microseconds(lambda: envelope.read(packet), 5000)
    cost = ratio(
        lambda: envelope.verify(envelope.read(packet), ALIAS, public),
        lambda: public.verify(signature, packet, algorithm),
        rounds=2001,
    )
    print(f"envelope.read: {read:.2f} microseconds")
    print(f"read and verify: {cost:.3f} x a bare verify")
    assert read < 12
    assert cost < 1.25


def test_sealing_a_pack_costs_hardly_more_than_signing_it() -> None:
    """Encryption, header and envelope are a fraction of the signature."""
    content = ContentKey.make(
        KEM,
        alias=ALIAS,
        epoch=EPOCH,
        purpose=keys.LIVE,
        salt=bytes(32),
        salt_epoch=EPOCH,
        mpk=MASTER,
        policy_text="role:clinician",
        policy_number=1,
        pseudonym="7g4m2qk9x0tb",
        profile_hash=bytes(32),
        idevid=GATEWAY,
        ldevid=signing.spki(GATEWAY.public_key()),
        random=sha256(b"").digest() * 2 + bytes(16),
    )
    numbers = iter(range(1 << 24))

    def seal() -> bytes:
        return content.seal(
            Kind.VITALS, next(numbers), 5220, PLAINTEXT, signing_key=GATEWAY
        )

    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    cost = ratio(seal, lambda: GATEWAY.sign(PLAINTEXT, algorithm), rounds=2001)
    print(f"sealing one pack: {microseconds(seal, 1000):.1f} microseconds")
    print(f"sealing one pack: {cost:.2f} x a bare signature")
    assert cost < 2
