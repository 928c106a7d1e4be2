"""Attribute keys against their arithmetic, and packets against bare signatures."""

import statistics
from collections.abc import Callable, Iterator
from itertools import count

from bench.clocks import often, quotient, turns
from bench.codec import ALIAS, EPOCH, content_key
from bench.table import Row
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from sealward.seal import envelope, opening, policy
from sealward.seal.attributekey import AttributeKey
from sealward.seal.curve import Hybrid
from sealward.seal.envelope import Kind
from sealward.seal.granting import grant, setup
from sealward.seal.kem import ATTRIBUTE_DST, Kem
from sealward.seal.sharing import R

ROOM = 0.05
LARGE = R // 3  # a scalar of full length
PLAINTEXT = bytes(67)  # a minute of four vitals, padded
KEM = Kem(Hybrid())
B = KEM.backend
ALPHA, MPK = setup(KEM, bytes(range(48)))
MASTER = KEM.master(MPK)
GATEWAY = ec.generate_private_key(ec.SECP256R1())
ES256 = ec.ECDSA(hashes.SHA256())


def rows() -> Iterator[Row]:
    """Measure sealing."""
    yield from _wrapping()
    yield from _unwrapping()
    yield from _granting()
    yield from _packets()


def _names(number: int) -> list[str]:
    return [f"attr:{each}" for each in range(number)]


def _primitives(g1: int, hashed: int, g2: int, pairs: int) -> None:
    """Do so many multiplications and hashes, and one pairing of *pairs*."""
    for number in range(hashed):
        B.h1(b"%d" % number, ATTRIBUTE_DST)
    ps = [B.mul(B.g1, LARGE) for _ in range(g1)]
    qs = [B.mul(B.g2, LARGE) for _ in range(g2)]
    if pairs:
        B.pair(ps[:pairs], qs[:pairs])


def _against(what: str, ours: Callable[[], object], parts: Callable[[], object]) -> Row:
    """Compare *ours* with the arithmetic that it cannot do without."""
    taken = turns({"ours": ours, "parts": parts}, 25)
    return Row(
        what=what,
        value=quotient(taken["ours"], taken["parts"]),
        unit="x",
        most=1.2,
        room=ROOM,
        also={"ms": statistics.median(taken["ours"]) * 1e3},
    )


def _wrapping() -> Iterator[Row]:
    """Two multiplications and a hash a leaf, one more each for all; two in G2."""
    tree = policy.parse(" and ".join(_names(10)))
    yield _against(
        "encapsulation, 10 leaves / its primitives",
        lambda: Kem(B).encapsulate(MASTER, tree, b"", bytes(32)),
        lambda: _primitives(21, 11, 2, 1),
    )


def _unwrapping() -> Iterator[Row]:
    """CCA: the message by pairings, and all of the wrapping again to check it."""
    tree = policy.parse(" and ".join(_names(10)))
    data = grant(KEM, ALPHA, _names(10), bytes(range(48)), person="p", issuance=1)
    key = opening.load(KEM, AttributeKey.decode(data))
    capsule, _ = KEM.encapsulate(MASTER, tree, b"", bytes(32))
    points = [B.mul(B.g1, LARGE + number) for number in range(3)]
    twists = [B.mul(B.g2, LARGE + number) for number in range(3)]
    taken = turns(
        {
            "whole": lambda: opening.decapsulate(KEM, key, tree, capsule, b""),
            "again": lambda: KEM.encapsulate(MASTER, tree, b"", bytes(32)),
            "pairing": lambda: B.pair(points, twists),
        },
        51,
    )
    pairing, again, whole = (
        statistics.median(taken[name]) for name in ("pairing", "again", "whole")
    )
    rest = [a - b for a, b in zip(taken["whole"], taken["again"], strict=True)]
    yield Row(
        what="decapsulation less re-encryption / multi-pairing of 3",
        value=quotient(rest, taken["pairing"]),
        unit="x",
        most=2.5,
        room=ROOM,
    )
    yield Row(
        what="decapsulation, 10 leaves, with its check by re-encryption",
        value=whole * 1e3,
        unit="ms",
        also={"ms of re-encryption": again * 1e3, "ms a multi-pairing": pairing * 1e3},
    )


def _granting() -> Iterator[Row]:
    held = _names(20)
    yield _against(
        "key of 20 attributes / its primitives",
        lambda: grant(Kem(B), ALPHA, held, bytes(range(48)), person="p", issuance=1),
        lambda: _primitives(22, 21, 2, 0),
    )


def _packets() -> Iterator[Row]:
    """Sealing a pack beside a bare signature, the door's check beside a bare verify."""
    content = content_key(GATEWAY)
    numbers = count()
    deterministic = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    packet = envelope.seal_packet(
        GATEWAY, ALIAS, b"kidd", Kind.VITALS, 700, 5220, EPOCH, bytes(83)
    )
    public, signature = GATEWAY.public_key(), GATEWAY.sign(packet, ES256)
    acts: dict[str, Callable[[], object]] = {
        "seal": lambda: content.seal(
            Kind.VITALS, next(numbers), 5220, PLAINTEXT, signing_key=GATEWAY
        ),
        "sign": lambda: GATEWAY.sign(packet, deterministic),
        "check": lambda: envelope.verify(envelope.read(packet), ALIAS, public),
        "verify": lambda: public.verify(signature, packet, ES256),
        "read": lambda: envelope.read(packet),
    }
    times = 200
    taken = turns({name: often(act, times) for name, act in acts.items()}, 15)
    us = {name: statistics.median(found) / times * 1e6 for name, found in taken.items()}
    yield Row(
        what="a pack sealed and signed / a bare deterministic signature",
        value=quotient(taken["seal"], taken["sign"]),
        unit="x",
        most=2,
        room=ROOM,
        also={"us": us["seal"]},
    )
    yield Row(
        what="a packet read and verified / a bare P-256 verify",
        value=quotient(taken["check"], taken["verify"]),
        unit="x",
        most=1.2,
        room=ROOM,
        also={"us": us["check"], "us to read": us["read"]},
    )
