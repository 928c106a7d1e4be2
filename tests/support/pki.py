"""A small certificate authority for tests: P-256, made anew for each run."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sealward.wire.tls import Identity, fingerprint

CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
DAY = timedelta(days=1)


def key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    """A trust anchor under its *name*, with its files in *folder*."""

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.name = _named(name)
        self.key = key()
        self.now = datetime.now(UTC)  # noqa: TID251 - a certificate is valid today
        self.path = folder / "authority.pem"
        self.path.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    @cached_property
    def certificate(self) -> x509.Certificate:
        """The anchor itself."""
        return (
            self._builder(self.name, self.key.public_key(), self.now, 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=True,
                    crl_sign=True,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .sign(self.key, hashes.SHA256())
        )

    def leaf(  # noqa: PLR0913 - each is a way to be wrong
        self,
        name: str,
        public: ec.EllipticCurvePublicKey,
        *,
        usage: Sequence[x509.ObjectIdentifier] = CLIENT,
        names: Sequence[str] | None = None,
        since: datetime | None = None,
        lasts: timedelta = 2 * DAY,
    ) -> x509.Certificate:
        """Certify *public* as *name*, whose alternative names are *names* or it alone.

        An alternative name that is an address becomes one.
        """
        return (
            self._builder(_named(name), public, since or self.now, lasts)
            .add_extension(
                x509.BasicConstraints(ca=False, path_length=None), critical=True
            )
            .add_extension(x509.ExtendedKeyUsage(list(usage)), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([_alternative(n) for n in names or [name]]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self.key.public_key()
                ),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )

    def identity(
        self,
        name: str,
        *,
        usage: Sequence[x509.ObjectIdentifier] = CLIENT,
        names: Sequence[str] | None = None,
        since: datetime | None = None,
        trusts: Path | None = None,
    ) -> Identity:
        """Make a key and a certificate in files; it believes *trusts*, or us."""
        secret = key()
        leaf = self.leaf(
            name, secret.public_key(), usage=usage, names=names, since=since
        )
        stem = f"{name}-{leaf.serial_number:x}"
        found = Identity(
            certificate=self.folder / f"{stem}.pem",
            key=self.folder / f"{stem}.key",
            authority=trusts or self.path,
        )
        found.certificate.write_bytes(leaf.public_bytes(Encoding.PEM))
        found.key.touch(mode=0o600)
        found.key.write_bytes(
            secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return found

    def _builder(
        self,
        name: x509.Name,
        public: ec.EllipticCurvePublicKey,
        since: datetime,
        lasts: timedelta,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(since - timedelta(hours=1))
            .not_valid_after(since + lasts)
        )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def pin(identity: Identity) -> bytes:
    """Return the pin of *identity*'s key."""
    pem = identity.certificate.read_bytes()
    return fingerprint(x509.load_pem_x509_certificate(pem))


class Pki:
    """What one broker needs: a server, services and devices under two anchors."""

    def __init__(self, folder: Path) -> None:
        self.services = Authority(folder / "services", "Test service CA")
        self.devices = Authority(folder / "devices", "Test device CA")
        self.strangers = Authority(folder / "strangers", "Somebody else's CA")
        self.server = self.services.identity(
            "localhost", usage=SERVER, names=["localhost", "127.0.0.1"]
        )

    def service(self, name: str) -> Identity:
        """Make the identity of a service."""
        return self.services.identity(name)

    def device(self, alias: str) -> Identity:
        """Make a device's identity, which trusts the server's anchor."""
        return self.devices.identity(alias, trusts=self.services.path)
