"""The server itself: hostile bytes, floods and limits that hold before any work."""

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support import mqtt_client
from tests.support.device import dial, enrolled, forged, run, signed
from tests.support.sender import EPOCH, KID, NOON, SLOT, Sender, door
from tests.support.site import Ward, until, ward

from sealward.custody.consent import Consent, ConsentError, compile_policies
from sealward.errors import RefusalError, SealwardError
from sealward.intake.store import key_packed
from sealward.packet.profile import BED_1
from sealward.seal import keys, opening, policy, record, signing, slip
from sealward.seal.attributekey import AttributeKey
from sealward.seal.curve import Hybrid
from sealward.seal.envelope import Kind
from sealward.seal.granting import grant, setup
from sealward.seal.kem import Kem
from sealward.seal.policy import PolicyError
from sealward.seal.sealing import ContentKey

HONEST = Sender()
KEM = Kem(Hybrid())
OFF_SUBGROUP = b"\x80" + bytes(46) + b"\x04"  # on the curve, outside the subgroup


@pytest.fixture(scope="module")
def site() -> Iterator[Ward]:
    """Return a site."""
    with ward() as made:
        yield made


def test_hostile_bytes_raise_nothing_but_refusals() -> None:
    """Random, mutated, deep and count-bombed bytes: each is refused at the door."""
    lots = random.Random(7)  # noqa: S311 - a fuzzer's
    good = HONEST.packet()
    guarded = door(HONEST)
    hostile = [lots.randbytes(lots.randrange(300)) for _ in range(2000)]
    for _ in range(2000):
        changed = bytearray(good)
        for _ in range(lots.randrange(1, 6)):
            changed[lots.randrange(len(changed))] = lots.randrange(256)
        hostile.append(bytes(changed))
    hostile += [good[:at] for at in range(len(good))]
    hostile += [b"\xd2\x84" + b"\x81" * 5000, b"\xd2\x84\x5b" + b"\xff" * 8]
    hostile += [b"\xd2\x84\x9b" + b"\xff" * 8, b"\xd2\x84\xbf" * 1000]
    for data in hostile:
        if data == good:
            continue
        with pytest.raises(RefusalError):
            guarded.admit(HONEST.alias, "vitals", data, NOON)
    assert guarded.admit(HONEST.alias, "vitals", good, NOON).packet.seq == 0


def content(policy_text: str, alias: str = HONEST.alias) -> ContentKey:
    """Return a content key under *policy_text*."""
    return ContentKey.make(
        KEM,
        alias=alias,
        epoch=EPOCH,
        purpose=keys.LIVE,
        salt=bytes(32),
        salt_epoch=EPOCH,
        mpk=KEM.master(MPK),
        policy_text=policy_text,
        policy_number=1,
        pseudonym="7g4m2qk9x0tb",
        profile_hash=BED_1.digest(),
        idevid=HONEST.key,
        ldevid=signing.spki(HONEST.key.public_key()),
        random=os.urandom(80),
    )


ALPHA, MPK = setup(KEM, os.urandom(48))


def opened(body: bytes, kid: bytes) -> opening.OpenedRecord:
    """Open a record's *body* with a key that satisfies ``role:nurse``."""
    data = grant(KEM, ALPHA, ["role:nurse"], os.urandom(48), person="p", issuance=1)
    public = signing.spki(HONEST.key.public_key())
    return opening.open_record(
        KEM,
        opening.load(KEM, AttributeKey.decode(data)),
        body,
        outer=(HONEST.alias, EPOCH, keys.LIVE, kid),
        salts={EPOCH: bytes(32)},
        pseudonym="7g4m2qk9x0tb",
        profile_hash=BED_1.digest(),
        ldevid_spki=public,
        pinned_idevid=public,
    )


def test_a_point_outside_the_subgroup_is_refused_by_the_reader() -> None:
    """The server stores what it cannot judge; the reader checks every point it uses."""
    made = content("role:nurse")
    capsule = record.read(made.record).recipients[0].capsule
    at = made.record.index(capsule) + 2 * 96
    bad = made.record[:at] + OFF_SUBGROUP + made.record[at + 48 :]
    with pytest.raises(SealwardError) as refused:
        opened(bad, made.kid)
    assert refused.value.reason == "unreadable"
    assert opened(made.record, made.kid).policy_number == 1


def test_a_record_of_another_alias_is_not_stored() -> None:
    """A key packet's record must name its own packet's alias, day and kid."""
    other = content("role:nurse", alias="h8w2n6c4j0z5b1f7s3e9y2k6ax")
    own = content("role:nurse")
    guarded = door(HONEST)
    for made, word in ((other, "mismatch"), (own, "")):
        packet = HONEST.packet(kind=Kind.KEY, body=made.record)
        packet = packet.replace(KID, made.kid, 1)
        unsigned = cbor2.loads(packet).value
        aad = cbor2.dumps(["smqtt/1 packet", HONEST.alias])
        packet = signing.sign1(HONEST.key, made.kid, unsigned[2], aad)
        admitted = guarded.admit(HONEST.alias, "key", packet, NOON)
        if word:
            with pytest.raises(RefusalError) as refused:
                key_packed(admitted, NOON)
            assert refused.value.reason == word
        else:
            assert key_packed(admitted, NOON)


LARGE = " or ".join(f"care:{number}" for number in range(70))
DEEP = "(" * 40 + "a:1" + ")" * 40


@pytest.mark.parametrize("text", [LARGE, DEEP, "a:" + "x" * 200, "a:1 " * 4000])
def test_a_policy_over_its_limits_is_refused_everywhere(text: str) -> None:
    """Custody, the slip and the gateway all refuse it, before any curve work."""
    for refuse in (policy.parse, lambda t: slip.lint(t, EPOCH), content):
        with pytest.raises(PolicyError):
            refuse(text)
    assert policy.parse("role:nurse and ward:icu")


def test_a_consent_that_cannot_be_compiled_is_refused() -> None:
    """An unknown purpose makes no policy; it is not left out in silence."""
    with pytest.raises(ConsentError):
        compile_policies(Consent(ward="icu", care="x", purposes=("care", "profit")))
    with pytest.raises(ConsentError):
        compile_policies(Consent(ward="icu", care="x", purposes=("analysis",)))
    with pytest.raises(PolicyError):
        compile_policies(Consent(ward="icu) or (a:1", care="x"))
    live, trend = compile_policies(Consent(ward="icu", care="x"))
    assert live == trend


def test_a_flood_of_bad_packets_is_one_row(site: Ward, tmp_path: Path) -> None:
    """A thousand forgeries are a count, and the honest packet after them is stored."""
    device = enrolled(site, tmp_path)
    hostile = [forged(signed(device, seq)) for seq in range(1000)]
    topic = f"telemetry/{device.alias}/vitals"

    def rows(query: str) -> object:
        return site.rows(query, device.alias)

    async def flood() -> None:
        client = await dial(site, device)
        for packet in hostile:
            client.send(mqtt_client.publish(topic, packet))
        client.send(mqtt_client.publish(topic, signed(device, 0)))
        await asyncio.to_thread(
            until,
            lambda: (
                rows(
                    "select count(*) from store.packet join registry.credential using"
                    " (cred) where alias = %s"
                )
                == [(1,)]
            ),
        )
        client.close()

    run(flood())
    counted = (
        "select r.reason, r.n from store.refused r join registry.credential c"
        " using (cred) where c.alias = %s"
    )
    until(lambda: rows(counted) == [("forged", 1000)])


def test_a_strangers_packets_cost_no_signature(site: Ward) -> None:
    """An alias that nobody has is counted under nobody's number."""
    stranger = Sender(key=ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(RefusalError) as refused:
        door(HONEST).admit("z" * 26, "vitals", stranger.packet(slot=SLOT), NOON)
    assert refused.value.reason == "unknown"
    assert site.rows("select * from audit.first_break()") == []
