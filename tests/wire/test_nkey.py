"""Keys are written as NATS writes them, and a seed is nobody else's to read."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealward.errors import ConfigError
from sealward.wire import nkey
from sealward.wire.nkey import NKey

# The example of NATS' own documentation (docs.nats.io, NKeys).
SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
PUBLIC = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"


def test_a_known_seed_has_its_known_key() -> None:
    """Another implementation wrote the pair."""
    assert NKey(SEED).public == PUBLIC


@given(st.binary(min_size=32, max_size=32), st.sampled_from([nkey.USER, nkey.ACCOUNT]))
def test_a_key_begins_with_its_role_and_signs(secret: bytes, role: int) -> None:
    """``U`` for users and ``A`` for accounts, ``SU`` and ``SA`` for their seeds."""
    key = NKey.generate(secret, role)
    letter = {nkey.USER: "U", nkey.ACCOUNT: "A"}[role]
    assert key.public.startswith(letter)
    assert key.seed.startswith(f"S{letter}")
    assert NKey(key.seed).public == key.public
    assert nkey.encode(role, nkey.decode(role, key.public)) == key.public
    signature = key.sign(b"data")
    assert nkey.is_signed(role, key.public, signature, b"data")
    assert not nkey.is_signed(role, key.public, signature, b"date")


def test_a_key_of_another_role_or_with_a_slip_is_refused() -> None:
    """One letter wrong is found, and a user is no server."""
    with pytest.raises(ValueError, match="another kind"):
        nkey.decode(nkey.SERVER, PUBLIC)
    for at in range(len(PUBLIC)):
        letter = "A" if PUBLIC[at] != "A" else "B"
        with pytest.raises(ValueError, match=r"."):
            nkey.decode(nkey.USER, PUBLIC[:at] + letter + PUBLIC[at + 1 :])


@given(st.text(max_size=80))
def test_whatever_is_no_key_is_a_value_error(text: str) -> None:
    """Nothing a broker says can raise anything else."""
    with pytest.raises(ValueError, match=r"."):
        nkey.decode(nkey.SERVER, text)
    with pytest.raises(ValueError, match=r"."):
        NKey(text)


def test_a_seed_is_kept_for_its_owner(tmp_path: Path) -> None:
    """0600, never overwritten, not read if others could; not in any message."""
    key, path = NKey.generate(os.urandom(32)), tmp_path / "seed"
    key.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert NKey.load(path).public == key.public
    with pytest.raises(FileExistsError):
        key.save(path)
    assert key.seed not in repr(key)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        NKey.load(path)
    path.chmod(0o600)
    path.write_text(key.seed[:-1])
    with pytest.raises(ConfigError) as refused:
        NKey.load(path)
    assert key.seed[:-1] not in str(refused.value)
    with pytest.raises(ConfigError):
        NKey.load(tmp_path / "absent")
