"""A slip names whose receipts to believe, whatever was asked of custody meanwhile."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sealward.custody.slips import Slips
from sealward.seal import signing

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def spki() -> bytes:
    """Return a fresh public key."""
    return signing.spki(ec.generate_private_key(ec.SECP256R1()).public_key())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of custody's, before intake has shown its keys."""
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "custody.key").write_bytes(signing.private_pem(key))
    (tmp_path / "pseudonym.key").write_bytes(os.urandom(32))
    return tmp_path


def test_receipt_keys_outlive_a_restart(folder: Path) -> None:
    """And there is no certificate before there is a key."""
    slips = Slips(folder, 60)
    assert slips.certificates(0, NOON) == []
    slips.receipt_key({0: spki()})
    assert len(Slips(folder, 60).certificates(0, NOON)) == 2
    assert Slips(folder, 60).certificates(1, NOON) == []


def test_who_shows_no_key_takes_none_away(folder: Path) -> None:
    """Asking whether custody is there, as launchers do, writes nothing."""
    before = Slips(folder, 60)
    Slips(folder, 60).receipt_key({0: spki()})
    before.receipt_key({})
    assert len(Slips(folder, 60).certificates(0, NOON)) == 2
