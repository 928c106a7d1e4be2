"""The package in which an authority hands a person an attribute key.

COSE_Sign1 by the authority (RFC 9052 §4.2) around HPKE base mode (RFC 9180; DHKEM
P-256, HKDF-SHA256, AES-256-GCM) to the key that a registrar signed for the person.
What HPKE's aad would carry stands in its info, which binds as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from sealward.errors import RefusalError, UnreadableError
from sealward.seal import cbor, signing

SUITE = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
VERSION = 1


class PackageError(UnreadableError):
    """The package is not the authority's, not this person's, or older than known."""

    reason = "package"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An attribute key, and what the holder needs to believe nothing else.

    *issuance* rises with each package of a person; *keys* are attribute keys, one a
    share holder; *mpk* (96 B) is the key that they belong to.
    """

    person: str
    issuance: int
    keys: tuple[bytes, ...]
    mpk: bytes
    authorities: tuple[bytes, ...]


def _info(person: str, issuance: int, mpk_id: bytes) -> bytes:
    return b"sealward/1 user key\0" + cbor.encode([person, issuance, mpk_id])


def _aad(person: str) -> bytes:
    return cbor.encode(["sealward/1 package", person])


def make(
    package: Package,
    mpk_id: bytes,
    authority: ec.EllipticCurvePrivateKey,
    person_key: ec.EllipticCurvePublicKey,
) -> bytes:
    """Return *package* sealed to *person_key* and signed by *authority*."""
    inside = cbor.encode(
        [
            VERSION,
            package.person,
            package.issuance,
            list(package.keys),
            package.mpk,
            list(package.authorities),
        ]
    )
    info = _info(package.person, package.issuance, mpk_id)
    sealed = SUITE.encrypt(inside, person_key, info)
    payload = cbor.encode([VERSION, package.issuance, mpk_id, sealed])
    kid = signing.kid_of(authority.public_key())
    return signing.sign1(authority, kid, payload, _aad(package.person))


def read(
    data: bytes,
    person: str,
    key: ec.EllipticCurvePrivateKey,
    authorities: Sequence[bytes],
    least: int,
) -> Package:
    """Open the package *data* for *person*, whose private *key* it was sealed to.

    *authorities* are the SPKIs whose word counts; *least* is the issuance that this
    one must exceed.

    Raises:
        PackageError: it is of nobody in *authorities*, of another person, or old.
    """
    for spki in authorities:
        try:
            signed = signing.verify1(signing.from_spki(spki), data, _aad(person))
        except RefusalError:
            continue
        return _opened(signed.payload, person, key, least)
    raise PackageError("no authority that you hold to has signed this for you")


def _opened(
    payload: bytes, person: str, key: ec.EllipticCurvePrivateKey, least: int
) -> Package:
    """Return the package whose outside, *payload*, an authority has signed."""
    match cbor.decode(payload):
        case [1, int(issuance), bytes(mpk_id), bytes(sealed)] if issuance > least:
            info = _info(person, issuance, mpk_id)
        case _:
            raise PackageError("it is malformed, or not newer than the last one")
    try:
        inside = cbor.decode(SUITE.decrypt(sealed, key, info))
    except InvalidTag as error:
        raise PackageError("it was not sealed to this key") from error
    match inside:
        case [1, str(name), int(number), [*keys], bytes(mpk), [*authorities]] if (
            name == person and number == issuance and keys and authorities
        ):
            return Package(
                person=name,
                issuance=number,
                keys=_blobs(keys),
                mpk=mpk,
                authorities=_blobs(authorities),
            )
        case _:
            raise PackageError("what it holds is not what its outside says")


def _blobs(items: list[object]) -> tuple[bytes, ...]:
    """Return *items*, all of them byte strings."""
    found = tuple(item for item in items if isinstance(item, bytes))
    if len(found) != len(items):
        raise PackageError("what it holds is not what its outside says")
    return found
