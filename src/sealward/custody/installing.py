"""Make a site: its keys, its two certificate authorities, and what each process holds.

Each process has a folder of its own, 0700, and finds there all that it needs and
nothing of another's. What is here already is left as it is.
"""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from sealward import files
from sealward.custody import certificates, salts
from sealward.seal import signing
from sealward.seal.curve import Hybrid
from sealward.seal.kem import Kem
from sealward.wire import brokerconfig, nkey, tls
from sealward.wire.nkey import NKey

SERVICES = ("intake", "analyst", "ward")  # each reaches the broker by its own key
SERVICE_PORT, MQTT_PORT = 4222, 8883  # of an operator's own broker
STORE = 20 << 30  # bytes that its stream may take
CUSTODY_KEYS = ("sys", "auth", "prov")  # custody's three users of the broker


def new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key and keep it in the new file *path*."""
    key = ec.generate_private_key(ec.SECP256R1())
    files.create(path, signing.private_pem(key))
    return key


def install(root: Path, hosts: Sequence[str], now: datetime) -> bool:
    """Make the site under *root*, whose broker answers to *hosts*.

    Returns False, and changes nothing, where there is a site already.
    """
    custody = files.folder(root / "custody")
    if (custody / "ready").exists():
        return False
    for name in ("device-ca", "service-ca"):
        made = certificates.found(f"Sealward {name}", now)
        files.create(custody / f"{name}.key", signing.private_pem(made.key))
        files.create(custody / f"{name}.pem", made.pem())
    new_key(custody / "custody.key")
    salts.new_kek(custody, 1, os.urandom(salts.LENGTH))
    files.create(custody / "pseudonym.key", os.urandom(32))
    NKey.generate(os.urandom(32), nkey.ACCOUNT).save(custody / "issuer.seed")
    for name in CUSTODY_KEYS:
        NKey.generate(os.urandom(32)).save(custody / f"{name}.seed")
    _service(root, custody, "custody", now)
    for name in SERVICES:
        folder = files.folder(root / name)
        _service(root, folder, name, now)
        NKey.generate(os.urandom(32)).save(folder / "nats.seed")
    _service(root, files.folder(root / "broker-identity"), "broker", now, hosts)
    _broker_folder(root, hosts[0])
    _registrar(root, custody)
    files.create(custody / "ready", b"")
    return True


def _service(
    root: Path, folder: Path, name: str, now: datetime, hosts: Sequence[str] = ()
) -> None:
    """Give the service *name* a key and a certificate in *folder*, and the anchor."""
    authority = certificates.load(root / "custody", "service-ca")
    key = new_key(folder / "tls.key")
    certificate = certificates.service(
        authority, key.public_key(), [name, *hosts], now, server=bool(hosts)
    )
    files.create(folder / "tls.pem", certificates.pem(certificate))
    if name != "custody":  # who has it already, as its own authority
        files.create(folder / "service-ca.pem", authority.pem())
    if hosts:
        files.create(root / "custody" / "broker.pin", tls.fingerprint(certificate))


def users(root: Path) -> dict[str, str]:
    """Return the public key of each of our services at the broker, by its name."""
    seeds = {name: root / "custody" / f"{name}.seed" for name in CUSTODY_KEYS}
    seeds |= {name: root / name / "nats.seed" for name in SERVICES}
    return {name: NKey.load(path).public for name, path in seeds.items()}


def issuer(root: Path) -> str:
    """Return the public key of the account that admits gateways."""
    return NKey.load(root / "custody" / "issuer.seed").public


def _broker_folder(root: Path, host: str) -> None:
    """Make the folder from which an operator's own broker can be started as it is."""
    folder = files.folder(root / "broker-identity")
    for name, source in zip(
        brokerconfig.FILES,
        (
            folder / "tls.pem",
            folder / "tls.key",
            root / "custody" / "service-ca.pem",
            root / "custody" / "device-ca.pem",
        ),
        strict=True,
    ):
        if not (folder / name).exists():
            files.create(folder / name, source.read_bytes())
    settings = brokerconfig.Settings(
        name="sealward",
        ports=brokerconfig.Ports(service=SERVICE_PORT, mqtt=MQTT_PORT),
        host=host,
        users=users(root),
        issuer=issuer(root),
        max_store_bytes=STORE,
    )
    files.create(folder / "broker.conf", brokerconfig.write(settings).encode())


def pin_authority(root: Path, mpk: bytes) -> None:
    """Let custody hand the authority's public key *mpk* to gateways.

    Raises:
        PointError: it is no such key.
    """
    Kem(Hybrid()).master(mpk)
    files.replace(root / "custody" / "mpk", mpk)


def _registrar(root: Path, custody: Path) -> None:
    """Make the registrar's key; custody and the authority each pin its public half.

    On a site of one machine the installer is the registrar; elsewhere the private
    half belongs on another machine.
    """
    key = new_key(files.folder(root / "registrar") / "registrar.key")
    public = signing.spki(key.public_key())
    for holder in (custody, files.folder(root / "authority")):
        files.create(files.folder(holder / "registrars") / "installer.spki", public)
