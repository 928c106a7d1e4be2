"""NATS' Ed25519 keys in NATS' own letters (nats-io/nkeys: base32 with CRC-16/XMODEM).

A seed never stands in an exception, a log or a ``repr``.
"""

import base64
import binascii
import os
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from sealward.errors import ConfigError

# The first byte, so that base32 begins with the letter.
USER = 20 << 3
ACCOUNT = 0
SERVER = 13 << 3
_SEED = 18 << 3
_RAW = 32  # bytes of an Ed25519 key
_CRC = 2  # bytes, little-endian
_LETTERS = 56  # 1 + 32 + 2 bytes are exactly so many, without padding


class NKey:
    """An Ed25519 key pair of a user, or of the account that issues users."""

    def __init__(self, seed: str) -> None:
        """Take *seed*, ``SU…`` or ``SA…``.

        Raises:
            ValueError: it is neither, or its checksum is wrong.
        """
        data = _checked(seed)
        role = (data[0] & 0b111) << 5 | data[1] >> 3
        if data[0] & 0b11111000 != _SEED or role not in {USER, ACCOUNT}:
            raise ValueError("not the seed of a user or an account")
        if len(data) != 2 + _RAW:
            raise ValueError("a seed has 32 bytes")
        self._key = Ed25519PrivateKey.from_private_bytes(data[2:])
        self._seed = seed
        self.public = encode(role, self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, random32: bytes, role: int = USER) -> Self:
        """Make the key of a *role* (``USER`` or ``ACCOUNT``) from 32 random bytes."""
        head = bytes([_SEED | role >> 5, (role & 0b11111) << 3])
        return cls(_lettered(head + random32))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the seed that *path* holds.

        Raises:
            ConfigError: the file is absent, not a seed, or others may read it.
        """
        try:
            open_to_others = path.stat().st_mode & 0o077
            seed = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: no NATS seed can be read here") from error
        if open_to_others:
            raise ConfigError(f"{path}: chmod 600, others can read this seed")
        try:
            return cls(seed)
        except ValueError as error:
            raise ConfigError(f"{path}: {error}") from None

    def save(self, path: Path) -> None:
        """Write the seed to the new file *path*, 0600.

        Raises:
            FileExistsError: there is one already; a seed is never overwritten.
        """
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(self._seed + "\n")

    @property
    def seed(self) -> str:
        """The secret itself, ``SU…`` or ``SA…``."""
        return self._seed

    def sign(self, data: bytes) -> bytes:
        """Return the signature of *data*, 64 bytes (RFC 8032)."""
        return self._key.sign(data)


def encode(role: int, raw: bytes) -> str:
    """Return the public key *raw* (32 bytes) of a *role* in 56 letters."""
    return _lettered(bytes([role]) + raw)


def decode(role: int, public: str) -> bytes:
    """Return the 32 bytes of *public*, the key of a *role*.

    Raises:
        ValueError: another role's key, a wrong checksum, or not a key at all.
    """
    data = _checked(public)
    if data[0] != role or len(data) != 1 + _RAW or len(public) != _LETTERS:
        raise ValueError("another kind of key was expected")
    return data[1:]


def is_signed(role: int, public: str, signature: bytes, data: bytes) -> bool:
    """Say whether the holder of *public*, a *role*'s key, signed *data*.

    Raises:
        ValueError: *public* is not the key of a *role*.
    """
    try:
        Ed25519PublicKey.from_public_bytes(decode(role, public)).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _lettered(data: bytes) -> str:
    crc = binascii.crc_hqx(data, 0).to_bytes(_CRC, "little")
    return base64.b32encode(data + crc).decode("ascii").rstrip("=")


def _checked(text: str) -> bytes:
    """Return the bytes that *text* stands for, without their checksum."""
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        raise ValueError("not base32") from None
    head, crc = data[:-_CRC], data[-_CRC:]
    if len(head) < 1 + _RAW or binascii.crc_hqx(head, 0) != int.from_bytes(
        crc, "little"
    ):
        raise ValueError("the checksum is wrong")
    return head
