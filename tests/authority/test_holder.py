"""The share holder counts its grants, however many are asked for at once."""

import re
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sealward import clock
from sealward.authority import holder
from sealward.authority.holder import Holder, Order
from sealward.custody.credentials import epoch_of
from sealward.errors import ConfigError
from sealward.seal import cbor, grantorder, signing


def spki(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return *key*'s public key."""
    return signing.spki(key.public_key())


def signed(registrar: ec.EllipticCurvePrivateKey, number: int) -> Order:
    """Return an order of *registrar* for the person called *number*."""
    person = UUID(int=number)
    attributes = ("role:nurse",)
    key = spki(ec.generate_private_key(ec.SECP256R1()))
    return Order(
        person=person,
        number=1,
        attributes=attributes,
        spki=key,
        registrar=sha256(spki(registrar)).digest(),
        signature=grantorder.sign(registrar, str(person), attributes, key, 1),
    )


def made(folder: Path, registrar: ec.EllipticCurvePrivateKey) -> Holder:
    """Return the holder of an authority in *folder*, that knows *registrar*."""
    holder.install(folder)
    (folder / "registrars").mkdir()
    (folder / "registrars/one.spki").write_bytes(spki(registrar))
    return Holder(folder)


def test_grants_asked_for_at_once_are_counted_one_by_one(tmp_path: Path) -> None:
    """Four people at once, six grants each: each has used the numbers 1 to 6."""
    registrar = ec.generate_private_key(ec.SECP256R1())
    authority = made(tmp_path / "a", registrar)
    orders = [signed(registrar, number) for number in range(1, 5)] * 6
    now = clock.now()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda o: authority.grant(o, [epoch_of(now)], now), orders))
    kept = cbor.decode((tmp_path / "a/seen.cbor").read_bytes())
    assert isinstance(kept, dict)
    assert [values[2] for values in kept.values()] == [6] * 4


def test_a_damaged_memory_is_named(tmp_path: Path) -> None:
    """What cannot be read is not taken for a first day."""
    registrar = ec.generate_private_key(ec.SECP256R1())
    authority = made(tmp_path / "a", registrar)
    now = clock.now()
    authority.grant(signed(registrar, 1), [epoch_of(now)], now)
    path = tmp_path / "a/seen.cbor"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ConfigError, match=re.escape("is damaged")):
        authority.grant(signed(registrar, 1), [epoch_of(now)], now)
