"""Decide who may connect to the broker.

The broker asks at every connect (``wire.admission`` reads the question). The answer
is by the registry's row of this moment: while PostgreSQL answers, nothing is decided
from a memory, so that a revocation counts at the next connect.
"""

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sealward.custody.certificates import p256
from sealward.custody.credentials import (
    ExpiredError,
    RevokedError,
    UnknownAliasError,
)
from sealward.errors import RefusalError
from sealward.records.registry import AdmissionRow
from sealward.seal import signing
from sealward.wire.admission import Grant, Request
from sealward.wire.topics import Alias


class CertificateError(RefusalError):
    """The certificate is not the one that the registry has for this alias."""

    reason = "certificate"


def judge(request: Request, row: AdmissionRow | None, now: datetime) -> Grant:
    """Return what whoever asks by *request* may do, and until when.

    *row* is the registry's, of the alias in the certificate; None if it has none.

    Raises:
        UnknownAliasError, CertificateError, ExpiredError, RevokedError: as named.
    """
    if row is None:
        raise UnknownAliasError("no such credential")
    leaf = request.leaf
    if signing.point65(p256(leaf)) != row.pubkey65 or serial_of(leaf) != row.serial:
        raise CertificateError("the key or the serial is not the registered one")
    bound = row.bound_from <= now and (row.bound_to is None or now < row.bound_to)
    active = row.device_state in ("enrolled", "active")
    if row.revoked_at is not None or not (bound and active):
        raise RevokedError("the credential, its device or its binding has ended")
    if not row.valid_from <= now < row.valid_to:
        raise ExpiredError("the credential is not of these days")
    return Grant(
        alias=Alias(row.alias),
        client_id=request.client_id,
        profile=row.profile,
        expires=row.valid_to,
    )


def serial_of(certificate: x509.Certificate) -> bytes:
    """Return the serial of *certificate* as the registry stores it, 20 bytes."""
    return certificate.serial_number.to_bytes(20, "big")


def fingerprint(leaf: x509.Certificate) -> str:
    """Return what the audit calls a refused certificate by: its SHA-256, in hex."""
    return leaf.fingerprint(hashes.SHA256()).hex()
