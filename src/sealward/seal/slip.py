"""Tell a gateway, each day, under which policy it seals: custody's signed slip.

A slip is a service command: COSE_Sign1 by custody over ``[id, "slip", exp, body]``,
with the alias signed and not sent. Its policies say who; the gateway adds when.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from sealward.errors import RefusalError
from sealward.seal import cbor, keys, policy, signing
from sealward.seal.policy import Tree
from sealward.seal.record import PSEUDONYM

ID = 16  # bytes
CERTIFICATES = 4  # of receipt keys: today's and the next, of one partition
CERTIFICATE = 512  # bytes
EPOCHS = 1 << 21  # days: until the year 7711, within what a date can say


class CommandError(RefusalError):
    """The service command is out of date, or not custody's to give."""

    reason = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """What a gateway needs to know for one alias and epoch."""

    id: bytes  # 16 random bytes
    expires: int  # unix seconds
    epoch: int
    policy_number: int  # rises with each change
    live: str  # policy text without a time clause
    trend: str
    pseudonym: str
    partition: int
    certificates: tuple[bytes, ...]  # of receipt keys, as custody signed them
    pack_seconds: int

    def encode(self) -> bytes:
        """Return what is signed."""
        body = [
            self.epoch,
            self.policy_number,
            self.live,
            self.trend,
            self.pseudonym,
            self.partition,
            self.certificates,
            self.pack_seconds,
        ]
        return cbor.encode([self.id, "slip", self.expires, body])


def with_time(clinical: str, epoch: int) -> str:
    """Return the policy that is sealed on day *epoch*: *clinical*, and when.

    A key carries days of the open month and only closed months and years.
    """
    day = keys.day_of(epoch)
    when = f"t.day:{day} or t.month:{day[:7]} or t.year:{day[:4]}"
    return f"({clinical}) and ({when})"


def lint(clinical: str, epoch: int) -> Tree:
    """Return the tree that *clinical* gives on day *epoch*.

    Raises:
        PolicyError: *clinical* is no policy, by itself or with its time.
        PolicyLimitError: it is too large with its time.
    """
    policy.parse(clinical)
    return policy.parse(with_time(clinical, epoch))


def _aad(alias: str) -> bytes:
    return cbor.encode(["smqtt/1 slip", alias])


def sign(custody: ec.EllipticCurvePrivateKey, alias: str, slip: Slip) -> bytes:
    """Return *slip* for *alias* as *custody*'s COSE_Sign1.

    Raises:
        PolicyError: one of its policies is none; a gateway would refuse it too.
    """
    lint(slip.live, slip.epoch)
    lint(slip.trend, slip.epoch)
    kid = signing.kid_of(custody.public_key())
    return signing.sign1(custody, kid, slip.encode(), _aad(alias))


def verify(
    custody: ec.EllipticCurvePublicKey,
    alias: str,
    data: bytes,
    *,
    now: int,
    least: int = 0,
) -> Slip:
    """Return the slip for *alias* that *custody* signed in *data*.

    *now* is in unix seconds, *least* the policy number that is in force.

    Raises:
        UnsignedError, AlgorithmError, MalformedError, ForgedError: custody did not.
        CommandError: it has expired, or a later policy is in force.
        PolicyError: one of its policies is none.
    """
    signed = signing.verify1(custody, data, _aad(alias))
    reader = cbor.Reader(signed.payload)
    reader.array(4)
    number = reader.blob(ID)
    reader.word("slip")
    expires = reader.uint()
    reader.array(8)
    slip = Slip(
        id=number,
        expires=expires,
        epoch=reader.uint(EPOCHS),
        policy_number=reader.uint(),
        live=reader.text(policy.TEXT),
        trend=reader.text(policy.TEXT),
        pseudonym=reader.text(PSEUDONYM),
        partition=reader.uint(256),
        certificates=tuple(
            reader.blob(most=CERTIFICATE)
            for _ in range(reader.array(most=CERTIFICATES))
        ),
        pack_seconds=reader.uint(1 << 16),
    )
    reader.end()
    if now >= slip.expires:
        raise CommandError("the slip has expired; fetch today's")
    if slip.policy_number < least:
        raise CommandError("a later policy is in force")
    lint(slip.live, slip.epoch)
    lint(slip.trend, slip.epoch)
    return slip
