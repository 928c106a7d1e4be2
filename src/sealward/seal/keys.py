"""Derive every key of an epoch from a content secret and a patient's salt.

HKDF-SHA-256 (RFC 5869) throughout, extract and expand; the info is an ASCII label,
a zero byte and the context. A data key needs both halves: the secret, which an
attribute key unwraps, and the day's salt, which custody hands out or refuses.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)

from sealward.errors import UnreadableError
from sealward.seal import cbor

SECRET = 32  # bytes: content secret, salt, key
CHECK = 16  # bytes
WRAPPED = 40  # bytes of a wrapped secret
OFFLINE = 14  # days that an old day salt may serve a gateway without network
LIVE, TREND, BUNDLE = range(3)  # purposes

_EPOCH_ZERO = datetime(1970, 1, 1, tzinfo=UTC)


class SaltError(UnreadableError):
    """The salt at hand is not the one that was used; custody has the right one."""

    reason = "salt"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKeys:
    """What a content secret and a salt give: two AES-256 keys and a commitment."""

    data: bytes = field(repr=False)  # packets
    coc: bytes = field(repr=False)  # frames of the critical channel; live purpose only
    check: bytes  # published: commits to secret and salt, as GCM does not


def _hkdf(ikm: bytes, salt: bytes | None, info: bytes, length: int = SECRET) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, b"sealward/1 " + info).derive(ikm)


def day_salt(erase_salt: bytes, epoch: int) -> bytes:
    """Return a patient's salt of day *epoch*; no day's salt yields another's."""
    return _hkdf(erase_salt, None, b"day salt\0" + epoch.to_bytes(4))


def month_salt(erase_salt: bytes, month: str) -> bytes:
    """Return a patient's salt of *month*, ``2026-11``, for bundles."""
    return _hkdf(erase_salt, None, b"month salt\0" + month.encode("ascii"))


def day_of(epoch: int) -> str:
    """Return the ISO date of day *epoch*, counted from 1970-01-01."""
    return (_EPOCH_ZERO + timedelta(days=epoch)).date().isoformat()


def context(alias: str, epoch: int, purpose: int, rid: bytes) -> bytes:
    """Return what a record's keys are bound to."""
    return cbor.encode(["smqtt/1", alias, epoch, purpose, rid])


def derive(secret: bytes, salt: bytes, ctx: bytes) -> DataKeys:
    """Return the keys of the record that *ctx* names."""
    return DataKeys(
        data=_hkdf(secret, salt, b"data\0" + ctx),
        coc=_hkdf(secret, salt, b"coc\0" + ctx),
        check=_hkdf(secret, salt, b"check\0" + ctx, CHECK),
    )


def policy_key(salt: bytes, ctx: bytes) -> bytes:
    """Return the AES-256-GCM key that hides the policy from broker and server."""
    return _hkdf(salt, None, b"policy\0" + ctx)


def policy_nonce(protected: bytes, index: int) -> bytes:
    """Return the nonce for recipient *index*: it follows the record's header.

    One record, one rid: a second policy under one header would meet the first one
    under the same key and nonce.
    """
    digest = hashes.Hash(hashes.SHA256())
    digest.update(b"sealward/1 policy nonce\0" + protected + b"\0" + bytes([index]))
    return digest.finalize()[:12]


def wrap(key: bytes, ctx: bytes, secret: bytes) -> bytes:
    """Return *secret* wrapped under what the encapsulated *key* gives, 40 bytes."""
    return aes_key_wrap(_hkdf(key, None, b"kek\0" + ctx), secret)


def unwrap(key: bytes, ctx: bytes, wrapped: bytes) -> bytes | None:
    """Return the secret, or None if *key* is not the one that wrapped it."""
    try:
        return aes_key_unwrap(_hkdf(key, None, b"kek\0" + ctx), wrapped)
    except InvalidUnwrap:
        return None


def salt_wrap_key(generation: bytes, patient: bytes) -> bytes:
    """Return the key that wraps one patient's erase salt at rest.

    *generation* is the vault's key, *patient* the 16 bytes of the row's UUID: AES-KW
    has no associated data, and a row copied to another patient must open nothing.
    """
    return _hkdf(generation, None, b"salt wrap\0" + patient)


def wrap_salt(key: bytes, salt: bytes) -> bytes:
    """Return *salt* wrapped (RFC 3394), 40 bytes."""
    return aes_key_wrap(key, salt)


def unwrap_salt(key: bytes, wrapped: bytes) -> bytes:
    """Return the salt that *key* wrapped.

    Raises:
        SaltError: another generation's key, another patient's row, or rubbish.
    """
    try:
        return aes_key_unwrap(key, wrapped)
    except (InvalidUnwrap, ValueError) as error:
        raise SaltError("this vault key does not unwrap this salt") from error
