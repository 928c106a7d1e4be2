"""Say what a person is: a registrar's signature over each change of attributes.

The registry's row is custody's to write, so it is no evidence. Whoever grants
verifies this signature for itself, against registrars' keys in its own files.
"""

from collections.abc import Iterable
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec

from sealward.seal import cbor, policy, signing


def digest(person: str, attributes: Iterable[str], spki: bytes, number: int) -> bytes:
    """Return the 32 bytes that a registrar signs, or a passkey asserts.

    *attributes* are taken in order of their bytes, each once; *spki* is the key of
    *person*'s browser; *number* rises with every change of this person.

    Raises:
        PolicyError: an attribute is none.
    """
    names = sorted({leaf for each in attributes for leaf in _attribute(each)})
    return sha256(cbor.encode([person, names, spki, number])).digest()


def _attribute(text: str) -> list[str]:
    """Return *text* if it is one attribute."""
    return policy.leaves(policy.tree(text))


def sign(
    registrar: ec.EllipticCurvePrivateKey,
    person: str,
    attributes: Iterable[str],
    spki: bytes,
    number: int,
) -> bytes:
    """Return *registrar*'s signature, r and s, 64 bytes, over the order."""
    return signing.sign(registrar, digest(person, attributes, spki, number))


def verify(  # noqa: PLR0913, PLR0917 - the order, item by item
    registrar: ec.EllipticCurvePublicKey,
    person: str,
    attributes: Iterable[str],
    spki: bytes,
    number: int,
    signature: bytes,
) -> None:
    """Return if *registrar* signed this order.

    Raises:
        ForgedError: it did not.
    """
    signing.verify(registrar, digest(person, attributes, spki, number), signature)
