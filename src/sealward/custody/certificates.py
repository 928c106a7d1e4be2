"""The two certificate authorities: one for devices, one for services.

They are apart so that a device's certificate opens no service's port, nor the other
way round. All keys are P-256 (FIPS 186-5); all certificates are X.509 v3 (RFC 5280).
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sealward.errors import RefusalError
from sealward.seal import signing

YEARS = timedelta(days=3650)  # of an authority's own certificate
SERVICE = timedelta(days=365)  # of a service's
BEFORE = timedelta(hours=6)  # a credential of day D is valid from D - 6 h ...
AFTER = timedelta(days=2)  # ... to D + 2 d: the handover, and a day of grace


class RequestError(RefusalError):
    """A certificate request is not a P-256 one signed by its own key."""

    reason = "csr"


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority: its key and its own certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def pem(self) -> bytes:
        """Return the certificate, the trust anchor of whoever believes it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def found(name: str, now: datetime) -> Authority:
    """Make an authority called *name* that signs leaves and no further authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def load(folder: Path, name: str) -> Authority:
    """Return the authority whose files in *folder* are called *name*."""
    certificate = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
    key = signing.from_private_pem((folder / f"{name}.key").read_bytes())
    return Authority(key, certificate)


def _leaf(
    authority: Authority,
    public: ec.EllipticCurvePublicKey,
    names: Sequence[str],
    valid: tuple[datetime, datetime],
    *,
    server: bool,
) -> x509.Certificate:
    """Certify *public* under *names*, of which the first is the common name."""
    alternatives: list[x509.GeneralName] = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if server:
        uses.insert(0, ExtendedKeyUsageOID.SERVER_AUTH)
    issuer = p256(authority.certificate)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(names[0]))
        .issuer_name(authority.certificate.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False
        )
        .sign(authority.key, hashes.SHA256())
    )


def service(
    authority: Authority,
    public: ec.EllipticCurvePublicKey,
    names: Sequence[str],
    now: datetime,
    *,
    server: bool = False,
) -> x509.Certificate:
    """Certify a service's key under its *names*; *server* lets it listen as well."""
    valid = (now - timedelta(hours=1), now + SERVICE)
    return _leaf(authority, public, names, valid, server=server)


def credential(
    authority: Authority, request: bytes, alias: str, midnight: datetime
) -> x509.Certificate:
    """Certify the key in *request* as *alias*, for the UTC day begun at *midnight*.

    *request* is a PKCS #10 request (RFC 2986) in DER. Its own name is not looked
    at: custody alone draws aliases.

    Raises:
        RequestError: it is malformed, of another kind of key, or not self-signed.
    """
    try:
        asked = x509.load_der_x509_csr(request)
        signed = asked.is_signature_valid
        public = asked.public_key()
    except (ValueError, InvalidSignature) as error:
        raise RequestError("the request is no PKCS #10") from error
    if not isinstance(public, ec.EllipticCurvePublicKey) or not signed:
        raise RequestError("the request must be signed by its own P-256 key")
    if not isinstance(public.curve, ec.SECP256R1):
        raise RequestError("the request must be signed by its own P-256 key")
    valid = (midnight - BEFORE, midnight + AFTER)
    return _leaf(authority, public, [alias], valid, server=False)


def pem(certificate: x509.Certificate) -> bytes:
    """Return *certificate* in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def p256(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Return the P-256 key that *certificate* certifies.

    Raises:
        RequestError: it certifies another kind of key.
    """
    public = certificate.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise RequestError("only P-256 keys are certified here")
    return public
