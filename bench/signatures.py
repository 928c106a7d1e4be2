"""P-256, by which everything here is signed, beside RSA of two sizes."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeAlias

from bench.clocks import often, turns
from bench.table import Row
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MESSAGE = bytes(160)
SHA256 = hashes.SHA256()
ES256 = ec.ECDSA(SHA256)
PSS = padding.PSS(padding.MGF1(SHA256), padding.PSS.DIGEST_LENGTH)
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
TIMES, ROUNDS = 50, 11

Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def _sign(key: Key) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(MESSAGE, PSS, SHA256)
    return key.sign(MESSAGE, ES256)


def _verifier(key: Key) -> Callable[[], object]:
    signature = _sign(key)
    if isinstance(key, rsa.RSAPrivateKey):
        theirs = key.public_key()
        return lambda: theirs.verify(signature, MESSAGE, PSS, SHA256)
    ours = key.public_key()
    return lambda: ours.verify(signature, MESSAGE, ES256)


def _leaf(key: Key) -> bytes:
    """Return a gateway's certificate for a day in DER, by an authority like *key*.

    The extensions are those of custody's; one size of key all the way, as it is used.
    """
    alias = "k3v9q0d2m7x5c1p8r4t6w0y2za"
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sealward devices")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, alias)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(1 << 158)
        .not_valid_before(MIDNIGHT)
        .not_valid_after(MIDNIGHT + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(alias)]), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
            critical=False,
        )
    )
    return builder.sign(key, SHA256).public_bytes(serialization.Encoding.DER)


def _sizes(name: str, key: Key) -> Row:
    # Ours travels as r and s; X.509 and TLS have it in DER, of 70 to 72 bytes.
    signature = 64 if isinstance(key, ec.EllipticCurvePrivateKey) else len(_sign(key))
    return Row(
        what=f"{name}: a signature",
        value=signature,
        unit="B",
        also={"B a gateway's certificate": len(_leaf(key))},
    )


def rows() -> Iterator[Row]:
    """Compare times and sizes."""
    keys: Mapping[str, Key] = {
        "P-256": ec.generate_private_key(ec.SECP256R1()),
        "RSA-2048": rsa.generate_private_key(65537, 2048),
        "RSA-3072": rsa.generate_private_key(65537, 3072),
    }
    acts: dict[str, Callable[[], object]] = {}
    for name, key in keys.items():
        acts[f"{name}: sign"] = often(partial(_sign, key), TIMES)
        acts[f"{name}: verify"] = often(_verifier(key), TIMES)
    taken = turns(acts, ROUNDS)
    making = turns(
        {
            "P-256": often(lambda: ec.generate_private_key(ec.SECP256R1()), TIMES),
            "RSA-2048": lambda: rsa.generate_private_key(65537, 2048),
            "RSA-3072": lambda: rsa.generate_private_key(65537, 3072),
        },
        ROUNDS,
    )
    making["P-256"] = [each / TIMES for each in making["P-256"]]
    us = {what: statistics.median(found) / TIMES * 1e6 for what, found in taken.items()}
    us |= {
        f"{name}: make a key": statistics.median(found) * 1e6
        for name, found in making.items()
    }
    for name in keys:
        for what in ("sign", "verify", "make a key"):
            value = us[f"{name}: {what}"]
            also = {} if name == "P-256" else {"x P-256": value / us[f"P-256: {what}"]}
            yield Row(what=f"{name}: {what}", value=value, unit="us", also=also)
        yield _sizes(name, keys[name])
