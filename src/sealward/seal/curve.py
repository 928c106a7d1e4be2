"""Do arithmetic on BLS12-381, behind nine names that any kernel can replace.

Points are opaque to all but the backend that made them. Bytes are compressed and
big-endian, flags as in the Zcash convention; a pairing's value is twelve
coefficients in tower order, 48 bytes little-endian each. The vectors decide.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import py_arkworks_bls12381 as arkworks
import pyblst

from sealward.errors import RefusalError

G1_BYTES, G2_BYTES, GT_BYTES = 48, 96, 576


class PointError(RefusalError):
    """The bytes are not a point of the group, in the one form that it has."""

    reason = "point"


@dataclass(slots=True, eq=False)
class G1:
    """A point of G1."""

    raw: Any  # as the backend's arithmetic has it
    paired: Any = None  # as its pairing wants it, once that was needed


@dataclass(slots=True, eq=False)
class G2:
    """A point of G2."""

    raw: Any
    paired: Any = None


P = TypeVar("P", G1, G2)


class Backend(Protocol):
    """The arithmetic that the key encapsulation stands on."""

    g1: G1
    g2: G2

    def h1(self, message: bytes, dst: bytes) -> G1:
        """Hash *message* to G1 (RFC 9380, SSWU, random oracle) under *dst*."""

    def mul(self, p: P, k: int) -> P:
        """Return [*k*]*p*, 0 <= *k* < r."""

    def add(self, p: P, q: P) -> P:
        """Return *p* + *q*."""

    def neg(self, p: P) -> P:
        """Return -*p*."""

    def pair(self, ps: list[G1], qs: list[G2]) -> bytes:
        """Return the product of the pairings of *ps* with *qs*, 576 bytes."""

    def e(self, p: G1 | G2) -> bytes:
        """Return *p* compressed, 48 or 96 bytes."""

    def d1(self, data: bytes) -> G1:
        """Return the point of G1 that *data* is, checked.

        Raises:
            PointError: *data* is anything else.
        """

    def d2(self, data: bytes) -> G2:
        """Return the point of G2 that *data* is, checked.

        Raises:
            PointError: *data* is anything else.
        """


class Hybrid:
    """blst for arithmetic and checks, arkworks for the multi-pairing alone.

    Multiplication takes the same time for every scalar (blst); the pairing does
    not, and pyblst gives no pairing's value out.
    """

    def __init__(self) -> None:
        one, two = arkworks.G1Point(), arkworks.G2Point()
        self.g1 = G1(pyblst.BlstP1Element.uncompress(one.to_compressed_bytes()), one)
        self.g2 = G2(pyblst.BlstP2Element.uncompress(two.to_compressed_bytes()), two)

    def h1(self, message: bytes, dst: bytes) -> G1:
        """Hash *message* to G1 under *dst*."""
        return G1(pyblst.BlstP1Element.hash_to_group(message, dst))

    def mul(self, p: P, k: int) -> P:
        """Return [*k*]*p*."""
        return type(p)(p.raw.scalar_mul(k))

    def add(self, p: P, q: P) -> P:
        """Return *p* + *q*."""
        return type(p)(p.raw + q.raw)

    def neg(self, p: P) -> P:
        """Return -*p*."""
        return type(p)(-p.raw)

    def pair(self, ps: list[G1], qs: list[G2]) -> bytes:
        """Return the product of the pairings of *ps* with *qs*.

        What blst holds is a point of the group, so that arkworks need not check it
        again. Its form for the pairing is kept: a key's and a master key's serve often.
        """
        for p in ps:
            if p.paired is None:
                p.paired = arkworks.G1Point.from_compressed_bytes_unchecked(self.e(p))
        for q in qs:
            if q.paired is None:
                q.paired = arkworks.G2Point.from_compressed_bytes_unchecked(self.e(q))
        return _pair(ps, qs)

    def e(self, p: G1 | G2) -> bytes:
        """Return *p* compressed."""
        return bytes(p.raw.compress())

    def d1(self, data: bytes) -> G1:
        """Return the point of G1 that *data* is, checked."""
        try:
            return G1(pyblst.BlstP1Element.uncompress(data))
        except ValueError as error:
            raise PointError("not a point of G1") from error

    def d2(self, data: bytes) -> G2:
        """Return the point of G2 that *data* is, checked."""
        try:
            return G2(pyblst.BlstP2Element.uncompress(data))
        except ValueError as error:
            raise PointError("not a point of G2") from error


class Arkworks:
    """arkworks alone: not constant time, about half as fast; a second opinion.

    Nothing falls back to it. Whoever wants it says so, and not for patients: its
    authors say that it is not for production.
    """

    def __init__(self) -> None:
        one, two = arkworks.G1Point(), arkworks.G2Point()
        self.g1, self.g2 = G1(one, one), G2(two, two)

    def h1(self, message: bytes, dst: bytes) -> G1:
        """Hash *message* to G1 under *dst*."""
        point = arkworks.G1Point.hash_to_curve(message, dst)
        return G1(point, point)

    def mul(self, p: P, k: int) -> P:
        """Return [*k*]*p*."""
        point = p.raw * arkworks.Scalar(k)
        return type(p)(point, point)

    def add(self, p: P, q: P) -> P:
        """Return *p* + *q*."""
        point = p.raw + q.raw
        return type(p)(point, point)

    def neg(self, p: P) -> P:
        """Return -*p*."""
        point = -p.raw
        return type(p)(point, point)

    def pair(self, ps: list[G1], qs: list[G2]) -> bytes:
        """Return the product of the pairings of *ps* with *qs*."""
        return _pair(ps, qs)

    def e(self, p: G1 | G2) -> bytes:
        """Return *p* compressed."""
        return bytes(p.raw.to_compressed_bytes())

    def d1(self, data: bytes) -> G1:
        """Return the point of G1 that *data* is, checked."""
        point = _checked(arkworks.G1Point, data)
        return G1(point, point)

    def d2(self, data: bytes) -> G2:
        """Return the point of G2 that *data* is, checked."""
        point = _checked(arkworks.G2Point, data)
        return G2(point, point)


def _pair(ps: list[G1], qs: list[G2]) -> bytes:
    """Return the multi-pairing's value; arkworks prints its bytes in hexadecimal."""
    product = arkworks.GT.multi_pairing([p.paired for p in ps], [q.paired for q in qs])
    return bytes.fromhex(str(product))


_Point = TypeVar("_Point", arkworks.G1Point, arkworks.G2Point)


def _checked(group: type[_Point], data: bytes) -> _Point:
    """Return the point of *group* that *data* is.

    arkworks takes an infinity flag with any rubbish behind it for the identity, so
    the point is encoded again.
    """
    try:
        point = group.from_compressed_bytes(data)
    except ValueError as error:
        raise PointError("not a point of the group") from error
    if bytes(point.to_compressed_bytes()) != data:
        raise PointError("not the one form of this point")
    return point
