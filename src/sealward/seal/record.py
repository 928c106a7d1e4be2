"""Write and read key records: a content secret, wrapped for whoever may read.

A record is the body of a ``key`` packet: COSE_Encrypt, detached (RFC 9052 §5.1),
with one recipient for each authority. The policy lies inside, sealed under the
day's salt, so that broker and server see neither it nor the patient's pseudonym.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cbor2
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealward.errors import RefusalError
from sealward.seal import cbor, keys, policy
from sealward.seal.cbor import MalformedError
from sealward.seal.curve import G1_BYTES, G2_BYTES
from sealward.seal.kem import MESSAGE, Kem, MasterPublic
from sealward.seal.policy import Tree
from sealward.seal.signing import KID, SIGNATURE, SPKI

RID = 16  # bytes
SIZE = 48 * 1024  # bytes
RECIPIENTS = 4
ALIAS = 26  # characters
PSEUDONYM = 12  # characters
HASH = 32  # bytes of SHA-256
CIPHERTEXT = G2_BYTES * (1 + policy.LEAVES) + G1_BYTES * policy.LEAVES + MESSAGE
SEALED = (
    12 * 1024
)  # bytes of a sealed policy: 64 attributes of 128 characters, and more

_A256GCM = 3
_NAME, _CHECK, _SALT_EPOCH = -70001, -70002, -70003  # private use: RFC 9053 §8
_FABEO = -70010  # FABEO-BLS12381 + SHAKE256 FO + HKDF-SHA256 + A256KW
_POLICY, _CAPSULE = -70011, -70012
_TAG = 96  # COSE_Encrypt


class MismatchError(RefusalError):
    """Record and packet, or record and reader, do not speak of the same thing."""

    reason = "mismatch"


class StaleError(RefusalError):
    """The salt is of a day too old, or of a day to come."""

    reason = "stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What a record is the record of."""

    alias: str
    epoch: int
    purpose: int  # 0 live, 1 trend, 2 bundle
    rid: bytes  # 16 random bytes, new for every record

    @property
    def kid(self) -> bytes:
        """Return the four bytes by which packets name the record's key."""
        return self.rid[:KID]

    @property
    def context(self) -> bytes:
        """Return what the record's keys are bound to."""
        return keys.context(self.alias, self.epoch, self.purpose, self.rid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What the sealed policy says besides who may read."""

    policy_number: int
    tree: Tree
    pseudonym: str  # the patient's display pseudonym, 12 characters, one for life
    profile_hash: bytes  # 32 bytes; a bundle's are zero
    idevid: bytes  # SPKI of the device's long-lived key
    device_signature: bytes  # by it, over ``device_message``
    previous: tuple[str, bytes, int] | None  # alias before, its last seal's hash, count


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One authority's way to the secret."""

    protected: bytes
    mpk_id8: bytes
    sealed_policy: bytes = field(repr=False)
    capsule: bytes = field(repr=False)
    wrapped: bytes = field(repr=False)

    def kem_context(self, protected: bytes) -> bytes:
        """Return what the capsule is bound to, *protected* being the record's."""
        return cbor.encode(["smqtt/1 kem", protected, self.protected])


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as anybody can read it: no policy, no patient, no secret."""

    name: Name
    check: bytes
    salt_epoch: int
    protected: bytes = field(repr=False)
    recipients: tuple[Recipient, ...]

    @property
    def kid(self) -> bytes:
        """Return the four bytes by which packets name the record's key."""
        return self.name.kid


def device_message(alias: str, epoch: int, ldevid: bytes, pseudonym: str) -> bytes:
    """Return what a device's long-lived key signs for each (alias, epoch).

    *ldevid* is the SPKI of the alias's credential. So custody, which certifies
    credentials, cannot invent a device.
    """
    return cbor.encode(["smqtt/1 device", alias, epoch, ldevid, pseudonym])


def refuse_stale(name: Name, salt_epoch: int, *, worker: bool = False) -> None:
    """Return if a record of *name* may rest on the salt of day *salt_epoch*.

    A gateway without network goes on with an old salt for 14 days; a *worker*'s
    record rests on that of the day it retells, and a bundle on its month's first.

    Raises:
        StaleError: the salt is of a day to come, or too old.
    """
    if salt_epoch > name.epoch:
        raise StaleError("the salt is of a day to come")
    if (
        name.purpose != keys.BUNDLE
        and not worker
        and name.epoch - salt_epoch > keys.OFFLINE
    ):
        raise StaleError(f"the salt is more than {keys.OFFLINE} days old")


def make(  # noqa: PLR0913 - a record binds all of it together
    kem: Kem,
    *,
    name: Name,
    secret: bytes,
    salt: bytes,
    salt_epoch: int,
    inside: Inside,
    mpks: Sequence[MasterPublic],
    messages: Sequence[bytes],
) -> bytes:
    """Return the record of *name*, which wraps *secret* for each of *mpks*.

    *messages* are the encapsulations' random bytes, 32 for each of *mpks*. Name,
    secret and messages are drawn afresh for every record, a mere change of policy
    included: two policies under one rid would meet under one key and nonce.
    """
    if not 1 <= len(mpks) <= RECIPIENTS:
        raise ValueError(f"a record has one to {RECIPIENTS} recipients")
    ctx = name.context
    header = {
        1: _A256GCM,
        4: name.kid,
        _NAME: ["smqtt/1", name.alias, name.epoch, name.purpose, name.rid],
        _CHECK: keys.derive(secret, salt, ctx).check,
        _SALT_EPOCH: salt_epoch,
    }
    protected = cbor.encode(header)
    hidden = AESGCM(keys.policy_key(salt, ctx))
    body = _body(inside)
    recipients = []
    for index, (mpk, message) in enumerate(zip(mpks, messages, strict=True)):
        own = cbor.encode({1: _FABEO, 4: mpk.id8})
        bound = cbor.encode(["smqtt/1 kem", protected, own])
        capsule, key = kem.encapsulate(mpk, inside.tree, bound, message)
        nonce = keys.policy_nonce(protected, index)
        sealed = {_POLICY: hidden.encrypt(nonce, body, protected), _CAPSULE: capsule}
        recipients.append([own, sealed, keys.wrap(key, ctx, secret)])
    return cbor.encode(cbor2.CBORTag(_TAG, [protected, {}, None, recipients]))


def _body(inside: Inside) -> bytes:
    """Return the plaintext of a sealed policy."""
    return cbor.encode(
        [
            inside.policy_number,
            policy.wire(inside.tree),
            inside.pseudonym,
            inside.profile_hash,
            inside.idevid,
            inside.device_signature,
            inside.previous,
        ]
    )


def read(body: bytes) -> Record:
    """Return the record that *body* is; its form is checked and nothing else can be.

    Raises:
        MalformedError, TrailingError: it has another form.
        MismatchError: its kid is not that of its rid.
    """
    if len(body) > SIZE:
        raise MalformedError("longer than any record")
    reader = cbor.Reader(body)
    reader.tag(_TAG)
    reader.array(4)
    protected = reader.blob(most=256)
    reader.map(0)
    if not reader.nothing():
        raise MalformedError("a record carries no content of its own")
    count = reader.array(most=RECIPIENTS)
    recipients = tuple(_recipient(reader) for _ in range(count))
    reader.end()
    if not recipients:
        raise MalformedError("a record has a recipient")
    name, check, salt_epoch = _header(protected)
    return Record(
        name=name,
        check=check,
        salt_epoch=salt_epoch,
        protected=protected,
        recipients=recipients,
    )


def _header(protected: bytes) -> tuple[Name, bytes, int]:
    """Return name, check value and salt-epoch of a record's *protected* header."""
    reader = cbor.Reader(protected)
    reader.map(5)
    reader.integer(1)
    reader.integer(_A256GCM)
    reader.integer(4)
    kid = reader.blob(KID)
    reader.integer(_NAME)
    reader.array(5)
    reader.word("smqtt/1")
    name = Name(
        alias=reader.text(ALIAS),
        epoch=reader.uint(1 << 32),
        purpose=reader.uint(keys.BUNDLE + 1),
        rid=reader.blob(RID),
    )
    reader.integer(_CHECK)
    check = reader.blob(keys.CHECK)
    reader.integer(_SALT_EPOCH)
    salt_epoch = reader.uint(1 << 32)
    reader.end()
    if kid != name.kid:
        raise MismatchError("the record's kid is not that of its rid")
    return name, check, salt_epoch


def _recipient(reader: cbor.Reader) -> Recipient:
    """Take one recipient."""
    reader.array(3)
    protected = reader.blob(most=64)
    reader.map(2)
    reader.integer(_POLICY)
    sealed = reader.blob(most=SEALED)
    reader.integer(_CAPSULE)
    capsule = reader.blob(most=CIPHERTEXT)
    wrapped = reader.blob(keys.WRAPPED)
    own = cbor.Reader(protected)
    own.map(2)
    own.integer(1)
    own.integer(_FABEO)
    own.integer(4)
    mpk_id8 = own.blob(8)
    own.end()
    return Recipient(
        protected=protected,
        mpk_id8=mpk_id8,
        sealed_policy=sealed,
        capsule=capsule,
        wrapped=wrapped,
    )


def read_inside(body: bytes) -> Inside:
    """Return what *body*, an opened policy, says.

    Raises:
        MalformedError, TrailingError: it has another form.
        PolicyError: its tree is none that a record may have.
    """
    reader = cbor.Reader(body)
    reader.array(7)
    number = reader.uint()
    tree = policy.tree(reader.item(2 * policy.DEPTH))
    pseudonym, profile_hash = reader.text(PSEUDONYM), reader.blob(HASH)
    idevid, signature = reader.blob(SPKI), reader.blob(SIGNATURE)
    previous = None
    if not reader.nothing():
        reader.array(3)
        previous = (reader.text(ALIAS), reader.blob(HASH), reader.uint())
    reader.end()
    return Inside(
        policy_number=number,
        tree=tree,
        pseudonym=pseudonym,
        profile_hash=profile_hash,
        idevid=idevid,
        device_signature=signature,
        previous=previous,
    )
