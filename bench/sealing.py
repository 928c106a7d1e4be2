"""(b) Attribute keys against their arithmetic; P-256 against RSA."""

from collections.abc import Iterator
from functools import partial

from bench.table import Row, median_us, quotient
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from sealward.seal import opening, policy
from sealward.seal.attributekey import AttributeKey
from sealward.seal.curve import Hybrid
from sealward.seal.granting import grant, setup
from sealward.seal.kem import ATTRIBUTE_DST, Kem
from sealward.seal.sharing import R

SECTION = "b sealing"
LARGE = R // 3
MESSAGE = bytes(160)
SHA256 = hashes.SHA256()


def rows() -> Iterator[Row]:
    """Measure sealing."""
    yield from _attributes()
    yield from _curves()


def _attributes() -> Iterator[Row]:
    kem = Kem(Hybrid())
    b = kem.backend
    alpha, mpk = setup(kem, bytes(range(48)))
    master = kem.master(mpk)
    names = [f"attr:{number}" for number in range(10)]
    tree = policy.parse(" and ".join(names))
    points = [b.mul(b.g1, LARGE + n) for n in range(3)]
    twists = [b.mul(b.g2, LARGE + n) for n in range(3)]

    def primitives(g1: int, g2: int, hashed: int) -> None:
        for number in range(hashed):
            b.h1(b"%d" % number, ATTRIBUTE_DST)
        for _ in range(g1):
            b.mul(b.g1, LARGE)
        for _ in range(g2):
            b.mul(b.g2, LARGE)

    def wrap() -> tuple[bytes, bytes]:
        return Kem(b).encapsulate(master, tree, b"", bytes(32))

    def wrap_parts() -> None:
        primitives(21, 2, 11)  # 2 a leaf and one for the pairing; a hash a leaf and Bp
        b.pair(points[:1], twists[:1])

    yield Row(
        section=SECTION,
        what="encapsulation, 10 leaves / its primitives",
        value=quotient(wrap, wrap_parts),
        unit="x",
        most=1.2,
    )
    data = grant(kem, alpha, names, bytes(range(48)), person="p", issuance=1)
    key = opening.load(kem, AttributeKey.decode(data))
    capsule, _ = kem.encapsulate(master, tree, b"", bytes(32))

    def unwrap() -> bytes:
        return opening.decapsulate(kem, key, tree, capsule, b"")

    def multi_pairing() -> bytes:
        return b.pair(points, twists)

    pairing = median_us(multi_pairing, 8)
    again = median_us(lambda: kem.encrypt(master, tree, b"", bytes(32)), 8)
    whole = median_us(unwrap, 8)
    yield Row(
        section=SECTION,
        what="(decapsulation CCA - re-encryption) / one multi-pairing of 3",
        value=(whole - again) / pairing,
        unit="x",
        most=2.5,
    )
    for what, value in (
        ("encapsulation, 10 leaves", median_us(wrap, 8)),
        ("decapsulation CCA, 10 leaves", whole),
        ("one multi-pairing of 3", pairing),
    ):
        yield Row(section=SECTION, what=what, value=value / 1000, unit="ms CPU")
    twenty = [f"attr:{number}" for number in range(20)]
    yield Row(
        section=SECTION,
        what="key of 20 attributes / its primitives",
        value=quotient(
            lambda: grant(
                Kem(b), alpha, twenty, bytes(range(48)), person="p", issuance=1
            ),
            lambda: primitives(22, 2, 21),
        ),
        unit="x",
    )


def _curves() -> Iterator[Row]:
    """Compare the signature that a gateway makes and the door verifies."""
    ours = ec.generate_private_key(ec.SECP256R1())
    es256 = ec.ECDSA(SHA256)
    signature = ours.sign(MESSAGE, es256)
    public = ours.public_key()
    sign = median_us(lambda: ours.sign(MESSAGE, es256), 100)
    verify = median_us(lambda: public.verify(signature, MESSAGE, es256), 100)
    make = median_us(lambda: ec.generate_private_key(ec.SECP256R1()), 50)
    yield Row(section=SECTION, what="P-256 sign", value=sign, unit="us CPU")
    yield Row(section=SECTION, what="P-256 verify", value=verify, unit="us CPU")
    yield Row(section=SECTION, what="P-256 key", value=make, unit="us CPU")
    yield Row(section=SECTION, what="P-256 signature", value=64, unit="B")
    yield Row(section=SECTION, what="P-256 public key", value=_size(public), unit="B")
    pss = padding.PSS(padding.MGF1(SHA256), padding.PSS.DIGEST_LENGTH)
    for bits in (2048, 3072):
        rival = rsa.generate_private_key(65537, bits)
        other = rival.public_key()
        theirs = rival.sign(MESSAGE, pss, SHA256)
        signing = median_us(partial(rival.sign, MESSAGE, pss, SHA256), 50)
        judging = median_us(partial(other.verify, theirs, MESSAGE, pss, SHA256), 50)
        making = median_us(partial(rsa.generate_private_key, 65537, bits), 1, 5)
        for what, value, unit in (
            ("sign / P-256 sign", signing / sign, "x"),
            ("verify / P-256 verify", judging / verify, "x"),
            ("key / P-256 key", making / make, "x"),
            ("signature", float(len(theirs)), "B"),
            ("public key", float(_size(other)), "B"),
        ):
            yield Row(
                section=SECTION, what=f"RSA-{bits} {what}", value=value, unit=unit
            )


def _size(public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> int:
    return len(
        public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
