"""Wrap a secret so that a policy opens it: FABEO over BLS12-381, made CCA-secure.

D. Riepel, H. Wee, "FABEO: Fast Attribute-Based Encryption with Optimal Security",
CCS 2022, figure 1, with [alpha]g2 as master public key, and Fujisaki and Okamoto's
transformation. This module can only wrap; ``opening`` unwraps, ``granting`` grants.

Never replace it by "lightweight", pairing-free attribute-based encryption: that
line is broken (J. Herranz, IEEE Access 8, 2020; Venema and Alpar, CT-RSA 2021).
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

from sealward.seal.curve import G1, G1_BYTES, G2, G2_BYTES, Backend, PointError
from sealward.seal.policy import Tree, canonical, leaves
from sealward.seal.sharing import R, coins, occurrences, share

ATTRIBUTE_DST = b"SMQTT-V1-ATTR-BLS12381G1_XMD:SHA-256_SSWU_RO_"
BASE_DST = b"SMQTT-V1-BASE-BLS12381G1_XMD:SHA-256_SSWU_RO_"
G1_IDENTITY = b"\xc0" + bytes(G1_BYTES - 1)
G2_IDENTITY = b"\xc0" + bytes(G2_BYTES - 1)
MESSAGE = 32  # bytes
COIN = 48  # bytes of hash to a number mod r: its bias is below 2**-128
REMEMBERED = 4096  # hashed attributes; a gateway of many beds meets some hundred a day


def xof(length: int, *parts: bytes) -> bytes:
    """Return *length* bytes of SHAKE256 over *parts*, each after its length."""
    state = hashlib.shake_256()
    for part in parts:
        state.update(len(part).to_bytes(4) + part)
    return state.digest(length)


def key_of(tree: Tree, ctx: bytes, message: bytes, ciphertext: bytes) -> bytes:
    """Return the 32-byte key that *message* stands for in this *ciphertext*."""
    return xof(32, b"key", message, ciphertext, canonical(tree).encode(), ctx)


def masked(message: bytes, pairing: bytes, body: bytes) -> bytes:
    """Return *message* covered, or uncovered, by the *pairing*'s value."""
    mask = xof(MESSAGE, b"mask", pairing, body)
    return bytes(x ^ y for x, y in zip(message, mask, strict=True))


def length(tree: Tree) -> int:
    """Return how many bytes a ciphertext under *tree* has: 96(1+m) + 48n + 32."""
    rows = occurrences(tree)
    return G2_BYTES * (2 + max(rows)) + G1_BYTES * len(rows) + MESSAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterPublic:
    """An authority's public key, checked."""

    data: bytes
    point: G2 = field(repr=False, compare=False)
    digest: bytes  # SHA-256 of data

    @property
    def id8(self) -> bytes:
        """Return the eight bytes by which a record names this key."""
        return self.digest[:8]


@dataclass(slots=True)
class Trace:
    """Every intermediate value of an encryption, for vectors; never kept."""

    coins: list[int] = field(default_factory=list)
    shares: list[int] = field(default_factory=list)
    occurrences: list[int] = field(default_factory=list)
    pairing: bytes = b""


class Kem:
    """The encapsulation on one backend; remembers the attributes it has hashed."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.base = backend.h1(b"", BASE_DST)
        self._hashed = lru_cache(REMEMBERED)(self._hash)

    def _hash(self, attribute: str) -> G1:
        return self.backend.h1(attribute.encode("ascii"), ATTRIBUTE_DST)

    def point_of(self, attribute: str) -> G1:
        """Return the point that *attribute* hashes to."""
        return self._hashed(attribute)

    def g1(self, data: bytes) -> G1:
        """Return the point of G1 that *data* is, which is not the identity.

        Raises:
            PointError: it is no point of the group, or the identity.
        """
        if data == G1_IDENTITY:
            raise PointError("the identity has no place here")
        return self.backend.d1(data)

    def g2(self, data: bytes) -> G2:
        """Return the point of G2 that *data* is, which is not the identity.

        Raises:
            PointError: it is no point of the group, or the identity.
        """
        if data == G2_IDENTITY:
            raise PointError("the identity has no place here")
        return self.backend.d2(data)

    def master(self, data: bytes) -> MasterPublic:
        """Return the authority's public key that *data*, 96 bytes, is.

        Raises:
            PointError: *data* is no point of the group, or the identity.
        """
        digest = hashlib.sha256(data).digest()
        return MasterPublic(data=data, point=self.g2(data), digest=digest)

    def encapsulate(
        self, mpk: MasterPublic, tree: Tree, ctx: bytes, message: bytes
    ) -> tuple[bytes, bytes]:
        """Return a ciphertext for whoever satisfies *tree*, and the key inside.

        *message* is 32 bytes from a source of true randomness, used once; *ctx* is
        bound into both. The same arguments give the same bytes.

        Raises:
            ValueError: *message* is not 32 bytes, or the one in 2**250 that draws zero.
        """
        ciphertext = self.encrypt(mpk, tree, ctx, message)
        return ciphertext, key_of(tree, ctx, message, ciphertext)

    def encrypt(
        self,
        mpk: MasterPublic,
        tree: Tree,
        ctx: bytes,
        message: bytes,
        trace: Trace | None = None,
    ) -> bytes:
        """Return the ciphertext that *message* has under *tree*, and only it.

        Raises:
            ValueError: as for ``encapsulate``.
        """
        if len(message) != MESSAGE:
            raise ValueError(f"a message has {MESSAGE} bytes")
        b, rows = self.backend, occurrences(tree)
        tops = 2 + max(rows)
        drawn = _draw(mpk, tree, ctx, message, tops + coins(tree))
        if 0 in drawn[:tops]:
            raise ValueError("this message cannot be used; draw another")
        first, repeats = drawn[0], drawn[1:tops]
        shares = share(tree, first, iter(drawn[tops:]))
        parts = [b.e(b.mul(b.g2, coin)) for coin in drawn[:tops]]
        parts += [
            b.e(b.add(b.mul(self.base, part), b.mul(self.point_of(leaf), repeats[row])))
            for leaf, part, row in zip(leaves(tree), shares, rows, strict=True)
        ]
        body = b"".join(parts)
        pairing = b.pair([b.mul(b.g1, first)], [mpk.point])
        if trace is not None:
            trace.coins, trace.shares = drawn, shares
            trace.occurrences, trace.pairing = rows, pairing
        return body + masked(message, pairing, body)


def _draw(
    mpk: MasterPublic, tree: Tree, ctx: bytes, message: bytes, count: int
) -> list[int]:
    """Return *count* numbers mod r that hang on everything that is encrypted."""
    stream = xof(
        COIN * count, b"coins", mpk.digest, canonical(tree).encode(), ctx, message
    )
    return [
        int.from_bytes(stream[at : at + COIN]) % R for at in range(0, len(stream), COIN)
    ]
