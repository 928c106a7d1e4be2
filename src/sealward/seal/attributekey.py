"""Hold one person's attribute key: made by ``granting``, used by ``opening``.

Its bytes are deterministic CBOR ``[1, person, issuance, [d0, k, {attribute: d_u}],
mpk]``. Components of two issuances do not combine: each has a randomness of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sealward.seal import cbor
from sealward.seal.cbor import MalformedError
from sealward.seal.curve import G1_BYTES, G2_BYTES
from sealward.seal.kem import Kem
from sealward.seal.policy import ATTRIBUTE, tree
from sealward.seal.signing import ForgedError

COMPONENTS = (
    256  # attributes of one key; a full year by days, months and role has fewer
)
PERSON = 64  # bytes of a person's identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeKey:
    """What one issuance gave one person: a secret."""

    person: str
    issuance: int  # rises with every key that this person is given
    d0: bytes = field(repr=False)  # [r]g2
    k: bytes = field(repr=False)  # [alpha]g1 + [r]Bp
    components: Mapping[str, bytes] = field(repr=False)  # attribute -> [r]H(attribute)
    mpk: bytes  # the authority's public key, or a share holder's

    @property
    def attributes(self) -> frozenset[str]:
        """Return the attributes that this key was granted for."""
        return frozenset(self.components)

    def encode(self) -> bytes:
        """Return this key's bytes. They are the key: keep them as such."""
        parts = [self.d0, self.k, dict(self.components)]
        return cbor.encode([1, self.person, self.issuance, parts, self.mpk])

    @classmethod
    def decode(cls, data: bytes) -> "AttributeKey":
        """Return the key that *data* is, its points still unchecked.

        Raises:
            MalformedError: *data* has another form.
            PolicyError: an attribute is none.
        """
        reader = cbor.Reader(data)
        reader.array(5)
        reader.integer(1)
        person, issuance = reader.text(PERSON), reader.uint()
        reader.array(3)
        d0, k = reader.blob(G2_BYTES), reader.blob(G1_BYTES)
        components: dict[str, bytes] = {}
        last = b""
        for _ in range(reader.map(COMPONENTS)):
            attribute = reader.text(ATTRIBUTE)
            spelt = cbor.encode(attribute)
            if spelt <= last:
                raise MalformedError("a map whose keys are not in order")
            last = spelt
            tree(attribute)
            components[attribute] = reader.blob(G1_BYTES)
        mpk = reader.blob(G2_BYTES)
        reader.end()
        return cls(
            person=person, issuance=issuance, d0=d0, k=k, components=components, mpk=mpk
        )


def check_key(kem: Kem, key: AttributeKey) -> None:
    """Return if *key* is what its ``mpk``'s owner makes for its attributes.

    Two pairings an attribute: e(k, g2) = e(g1, A) e(Bp, d0), and
    e(d_u, g2) = e(H(u), d0). It says nothing of who owns the mpk.

    Raises:
        PointError: a component is no point, or the identity.
        ForgedError: a component is not of this key.
    """
    b = kem.backend
    one = b.pair([b.g1, b.neg(b.g1)], [b.g2, b.g2])
    a, d0, k = kem.g2(key.mpk), kem.g2(key.d0), kem.g1(key.k)
    products = [b.pair([k, b.neg(b.g1), b.neg(kem.base)], [b.g2, a, d0])]
    products += [
        b.pair([kem.g1(component), b.neg(kem.point_of(attribute))], [b.g2, d0])
        for attribute, component in key.components.items()
    ]
    if any(product != one for product in products):
        raise ForgedError("not a key of this authority")
