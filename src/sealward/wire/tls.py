"""TLS 1.3 between people who know each other: own trust anchor, own pins, no others.

Curves are those that the broker offers too (P-256, then P-384 on its side), so that
a handshake takes one round trip and stays within FIPS 140's curves.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealward.errors import RefusalError


class PinError(RefusalError, ssl.SSLError):
    """The other side's key is not the one that was agreed on.

    An ``ssl.SSLError`` too, so that every client library takes it for what it is: a
    handshake that failed.
    """

    reason = "pin"  # type: ignore[misc]  # ssl.SSLError has one an instance, of no use here


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who one is, and whom one believes. Secrets are named, not held; all PEM."""

    certificate: Path
    key: Path
    authority: Path  # the one trust anchor


def fingerprint(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 (32 bytes) of *certificate*'s SubjectPublicKeyInfo."""
    spki = certificate.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return sha256(spki).digest()


def check_pin(
    peer: ssl.SSLSocket | ssl.SSLObject | bytes, pins: Sequence[bytes]
) -> None:
    """Raise unless *peer*'s key is among *pins* (SHA-256 of its SPKI, 32 bytes each).

    *peer* is a connection whose handshake is done, or a certificate in DER.

    Raises:
        PinError: it is not, or there is no certificate.
    """
    der = peer if isinstance(peer, bytes) else peer.getpeercert(binary_form=True)
    if not der or fingerprint(x509.load_der_x509_certificate(der)) not in pins:
        message = "the server's key is not pinned; fetch the slip anew"
        raise PinError(ssl.SSLErrorNumber.SSL_ERROR_SSL, message)


def client(identity: Identity, *, pins: Sequence[bytes] = ()) -> ssl.SSLContext:
    """Return the context of a client that proves itself and checks the other's name.

    With *pins* each handshake ends in ``PinError`` unless the server's key is among
    them, before the first byte of any protocol is sent.

    Raises:
        OSError: a file of *identity* is missing or does not fit the others.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(context, identity)
    if pins:
        _pin(context, tuple(pins))
    return context


def server(identity: Identity) -> ssl.SSLContext:
    """Return the context of a server whose clients must prove themselves.

    For tests and benchmarks: in operation the broker is the server.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    _load(context, identity)
    return context


def _load(context: ssl.SSLContext, identity: Identity) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_ecdh_curve("prime256v1")
    context.load_verify_locations(cafile=identity.authority)
    context.load_cert_chain(identity.certificate, identity.key)


def _pin(context: ssl.SSLContext, pins: tuple[bytes, ...]) -> None:
    """Let each connection of *context* check *pins* as the last step of its handshake.

    The two classes are the documented way to have a say in a handshake that a client
    library makes (Python's ssl, ``SSLContext.sslsocket_class``).
    """

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - ssl's own signature
            try:
                super().do_handshake(block)
                check_pin(self, pins)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except OSError:
                self.close()  # not every library does, and some keep the socket
                raise

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            check_pin(self, pins)

    context.sslsocket_class = PinnedSocket
    context.sslobject_class = PinnedObject
