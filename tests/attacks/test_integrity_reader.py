"""Records of a hostile gateway: what the door can judge, and what the reader."""

import os
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.sender import EPOCH, NOON, SLOT, Sender, door

from sealward.analyst.reading import Beds, Closed, Opened
from sealward.errors import RefusalError
from sealward.intake.store import key_packed
from sealward.packet import grid, sr1
from sealward.packet.profile import BED_1, VITALS_KIND
from sealward.records.registry import Bed, BindingId
from sealward.seal import envelope, keys, policy, record, signing
from sealward.seal.attributekey import AttributeKey
from sealward.seal.curve import Hybrid, PointError
from sealward.seal.envelope import Kind
from sealward.seal.granting import grant, setup
from sealward.seal.kem import MESSAGE, Kem, Trace, key_of, masked
from sealward.seal.policy import Gate, Tree
from sealward.seal.sealing import ContentKey
from sealward.vitals.reading import Reading

HONEST = Sender()
IDEVID = ec.generate_private_key(ec.SECP256R1())
KEM = Kem(Hybrid())
ALPHA, MPK = setup(KEM, os.urandom(48))
PSEUDONYM = "7g4m2qk9x0tb"
PATIENT = UUID(int=1)
NURSE = ("role:nurse", "ward:icu")
NURSES = AttributeKey.decode(
    grant(KEM, ALPHA, NURSE, os.urandom(48), person="p", issuance=1)
)
DEEP: Tree = "role:nurse"
for _number in range(policy.DEPTH + 1):
    DEEP = Gate(1 + _number % 2, (DEEP, f"care:{_number}"))
BED = Bed(
    patient_id=PATIENT,
    pseudonym=PSEUDONYM,
    binding_id=BindingId(1),
    slot=0,
    device_spki=signing.spki(IDEVID.public_key()),
    cred=HONEST.cred,
    alias=HONEST.alias,
    epoch=EPOCH,
    pubkey65=signing.point65(HONEST.key.public_key()),
    profile="gateway",
)


def wide(leaves: int) -> Tree:
    """Return a policy of *leaves* leaves, which a nurse satisfies."""
    return Gate(1, ("role:nurse", *(f"care:{n}" for n in range(leaves - 1))))


@dataclass
class Made:
    """A key packet and how it was made: honest, but for what is changed."""

    tree: Tree = "role:nurse"
    alias: str = HONEST.alias
    epoch: int = EPOCH
    salt_epoch: int = EPOCH
    purpose: int = keys.LIVE
    pseudonym: str = PSEUDONYM
    idevid: ec.EllipticCurvePrivateKey = field(default=IDEVID, repr=False)
    device: ec.EllipticCurvePrivateKey = field(default=IDEVID, repr=False)
    salt: bytes = bytes(32)
    at: int = -1  # place in the capsule from which on it is ``put``
    put: bytes = b""
    rid: bytes = field(default_factory=lambda: os.urandom(16))

    def packet(self) -> bytes:
        """Return the key packet, signed by the honest gateway's credential."""
        return envelope.seal_packet(
            HONEST.key,
            HONEST.alias,
            self.rid[:4],
            Kind.KEY,
            0,
            SLOT,
            EPOCH,
            self._record(),
        )

    def _record(self) -> bytes:
        ldevid = signing.spki(HONEST.key.public_key())
        device = record.device_message(HONEST.alias, EPOCH, ldevid, self.pseudonym)
        inside = record.Inside(
            policy_number=1,
            tree=self.tree,
            pseudonym=self.pseudonym,
            profile_hash=BED_1.digest(),
            idevid=signing.spki(self.idevid.public_key()),
            device_signature=signing.sign(self.device, device),
            previous=None,
        )
        name = record.Name(
            alias=self.alias, epoch=self.epoch, purpose=self.purpose, rid=self.rid
        )
        secret, message = os.urandom(keys.SECRET), os.urandom(32)
        body = record.make(
            KEM,
            name=name,
            secret=secret,
            salt=self.salt,
            salt_epoch=self.salt_epoch,
            inside=inside,
            mpks=[KEM.master(MPK)],
            messages=[message],
        )
        return body if self.at < 0 else self._altered(body, name, secret, message)

    def _altered(
        self, body: bytes, name: record.Name, secret: bytes, message: bytes
    ) -> bytes:
        """Change the capsule, and cover and wrap as if it had been made so.

        So a reader who happens to use other parts would open it, and show by that
        which of the policy's attributes he holds.
        """
        found, trace = record.read(body), Trace()
        (recipient,) = found.recipients
        old, end = recipient.capsule, self.at + len(self.put)
        bound = recipient.kem_context(found.protected)
        assert KEM.encrypt(KEM.master(MPK), self.tree, bound, message, trace) == old
        points = old[: self.at] + self.put + old[end:-MESSAGE]
        new = points + masked(message, trace.pairing, points)
        key = key_of(self.tree, bound, message, new)
        wrapped = keys.wrap(key, name.context, secret)
        return body.replace(old, new).replace(recipient.wrapped, wrapped)


G1 = 2 * 96  # bytes of two points of G2, before the first leaf's
OFF_G1 = b"\x80" + bytes(46) + b"\x04"  # on the curve, outside the subgroup
GENERATOR = bytes.fromhex(
    "97f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac58"
    "6c55e83ff97a1aeffb3af00adb22c6bb"
)
ZERO_G1 = b"\xc0" + bytes(47)
ZERO_G2 = b"\xc0" + bytes(95)
BEYOND_G1 = b"\x9f" + b"\xff" * 47  # no element of the field


def reader() -> Beds:
    """Return a nurse of the ward, with her key and the patient's salt of the day."""
    beds = Beds(KEM, [BED_1], {})
    beds.learn([BED])
    beds.hold(NURSES)
    beds.salt(PATIENT, {EPOCH: bytes(32)})
    return beds


def at_the_door(packet: bytes) -> str:
    """Return what the door makes of a key packet: a word, or ``ok``."""
    try:
        admitted = door(HONEST).admit(HONEST.alias, "key", packet, NOON)
        key_packed(admitted, NOON)
    except RefusalError as error:
        return error.reason
    return "ok"


def at_the_reader(packet: bytes) -> str:
    """Return what the reader makes of it: the word of what is closed, or ``ok``."""
    result = reader().open(BED, packet)
    return result.error.reason if isinstance(result, Closed) else "ok"


STRANGER = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("changed", "by_door", "by_reader"),
    [
        ({}, "ok", "ok"),
        ({"at": G1, "put": OFF_G1}, "ok", "unreadable"),
        ({"at": G1, "put": ZERO_G1}, "ok", "unreadable"),
        ({"at": G1, "put": BEYOND_G1}, "ok", "unreadable"),
        ({"at": 0, "put": ZERO_G2}, "ok", "unreadable"),
        ({"at": 96, "put": ZERO_G2}, "ok", "unreadable"),
        ({"at": 0, "put": bytes(96)}, "ok", "unreadable"),
        ({"tree": wide(2), "at": G1 + 48, "put": GENERATOR}, "ok", "unreadable"),
        ({"tree": wide(2), "at": G1 + 48, "put": OFF_G1}, "ok", "unreadable"),
        ({"tree": DEEP}, "ok", "malformed"),
        ({"tree": wide(policy.LEAVES + 1)}, "ok", "overlimit"),
        ({"tree": wide(200)}, "malformed", "malformed"),
        ({"tree": wide(policy.LEAVES)}, "ok", "ok"),
        ({"tree": "role:clinician"}, "ok", "unsatisfied"),
        ({"tree": Gate(2, ("role:nurse", "ward:surgery"))}, "ok", "unsatisfied"),
        ({"tree": Gate(1, ("ward:surgery", "ward:icu"))}, "ok", "ok"),
        ({"pseudonym": "0" * 12}, "ok", "otherpatient"),
        ({"idevid": STRANGER, "device": STRANGER}, "ok", "stranger"),
        ({"device": STRANGER}, "ok", "forged"),
        ({"salt": b"\1" * 32}, "ok", "salt"),
        ({"salt_epoch": EPOCH + 1}, "ok", "stale"),
        ({"salt_epoch": EPOCH - 15}, "ok", "stale"),
        ({"alias": "h8w2n6c4j0z5b1f7s3e9y2k6ax"}, "mismatch", "mismatch"),
        ({"epoch": EPOCH + 1}, "mismatch", "mismatch"),
        ({"purpose": keys.TREND}, "ok", "mismatch"),
    ],
)
def test_a_hostile_record_opens_nothing(
    changed: dict[str, Any], by_door: str, by_reader: str
) -> None:
    """A credential alone does not make a record; the honest one beside it opens."""
    packet = Made(**changed).packet()
    assert at_the_door(packet) == by_door
    assert at_the_reader(packet) == by_reader


def test_every_point_is_checked_before_it_is_used() -> None:
    """Outside the subgroup, at infinity, beyond the field: no point, by that word."""
    assert KEM.g1(GENERATOR) is not None
    for data in (OFF_G1, ZERO_G1, BEYOND_G1, GENERATOR[:-1], b"\x17" + GENERATOR[1:]):
        with pytest.raises(PointError):
            KEM.g1(data)


def content() -> ContentKey:
    """Return an honest gateway's content key."""
    return ContentKey.make(
        KEM,
        alias=HONEST.alias,
        epoch=EPOCH,
        purpose=keys.LIVE,
        salt=bytes(32),
        salt_epoch=EPOCH,
        mpk=KEM.master(MPK),
        policy_text="role:nurse",
        policy_number=1,
        pseudonym=PSEUDONYM,
        profile_hash=BED_1.digest(),
        idevid=IDEVID,
        ldevid=signing.spki(HONEST.key.public_key()),
        random=os.urandom(80),
    )


def vitals() -> bytes:
    """Return one minute of a pulse of 71, packed."""
    (group,) = [each for each in BED_1.groups if each.kind == VITALS_KIND][:1]
    packs = grid.Grid(group, 60_000)
    start = EPOCH * 86_400_000 + SLOT * 10_000
    code = group.channels[0].code
    for second in range(60):
        at = (start + second * 1000) * 1_000_000
        packs.add(Reading(vital=code, value=71, at=at))
    (pack,) = packs.close()
    return sr1.encode(group, grid.place(pack.start_ms)[2], pack.rows, pack.columns)


def test_a_sealed_body_is_its_own_headers_alone() -> None:
    """Signed anew by the same credential, under another number, kind, slot or key."""
    mine, other = content(), content()
    beds, plaintext = reader(), vitals()
    for number, each in enumerate((mine, other)):
        beds.take_record(BED, each.key_packet(number, SLOT, HONEST.key))
    good = mine.seal(Kind.VITALS, 2, SLOT, plaintext, signing_key=HONEST.key)
    outside = envelope.read(good)

    def moved(**changed: Any) -> bytes:  # noqa: ANN401 - any field of the header
        header: dict[str, Any] = {
            "kid": outside.kid,
            "kind": Kind.VITALS,
            "seq": 2,
            "slot": SLOT,
            "epoch": EPOCH,
            "body": outside.body,
        }
        return envelope.seal_packet(HONEST.key, HONEST.alias, **(header | changed))

    for changed in (
        {"kid": other.kid},
        {"kind": Kind.EVENT},
        {"seq": 3},
        {"slot": SLOT + 1},
        {"body": outside.body[:-1] + bytes([outside.body[-1] ^ 1])},
        {"body": outside.body[:-16]},
        {"body": b""},
    ):
        result = beds.open(BED, moved(**changed))
        assert isinstance(result, Closed), changed
        assert result.error.reason == "unreadable", changed
    assert isinstance(beds.open(BED, moved()), Opened)
    result = beds.open(BED, good)
    assert isinstance(result, Opened)
    assert len(result.values) == 60


def test_a_device_that_takes_anothers_place_is_noticed() -> None:
    """The first device at a patient's bed is pinned; custody cannot swap it unseen."""
    met: dict[str, bytes] = {}
    beds = Beds(KEM, [BED_1], met)
    beds.learn([BED])
    beds.hold(NURSES)
    beds.salt(PATIENT, {EPOCH: bytes(32)})
    assert isinstance(beds.open(BED, Made().packet()), Opened)
    assert met == {PSEUDONYM: BED.device_spki}
    swapped = Made(idevid=STRANGER, device=STRANGER).packet()
    result = beds.open(BED, swapped)
    assert isinstance(result, Closed)
    assert result.error.reason == "stranger"
