"""What was true once is not taken for true now: packets, receipts, requests, salts."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.attacker import EPOCH, NOON, Device, secret
from tests.support.intruder import (
    Gateway,
    Stage,
    digest,
    refusals,
    request_of,
    said,
    soon,
    word_of,
)
from tests.support.site import until

from sealward import clock
from sealward.bedside.commands import Commands
from sealward.bedside.credential import Credential, Pins
from sealward.custody.credentials import epoch_of, midnight
from sealward.intake.door import AHEAD, DAY, SLOT, Door
from sealward.metrics import Metrics
from sealward.seal import cbor, receipt, signing, slip
from sealward.seal.envelope import Kind
from sealward.seal.receipt import Code, Message, Receipt, Refusal, Resend
from sealward.wire.spool import Spool
from sealward.wire.tls import Identity
from sealward.wire.topics import Alias

DEVICE = Device()
HOUR = 3600_000  # ms
EARLY = AHEAD + 2 * SLOT  # ms; a slot is named by its begin


# --- packets, at the door ----------------------------------------------------


class Counting:
    """A public key that counts how often it is asked, and answers truly."""

    def __init__(self, public: ec.EllipticCurvePublicKey) -> None:
        self._public = public
        self.asked = 0

    def verify(self, *arguments: Any) -> None:  # noqa: ANN401 - handed on as they are
        """Verify, and count it."""
        self.asked += 1
        self._public.verify(*arguments)


@pytest.fixture
def door() -> Door:
    """Return a door that knows one gateway, of whom packet 0 is stored."""
    made = Door()
    made.learn([DEVICE.row()])
    made.senders()[0].mark(EPOCH).stored(0, DEVICE.packet(0))
    return made


def word(door: Door, packet: bytes, now: int = NOON, level: str = "vitals") -> str:
    """Return the word by which *door* refuses *packet* at *now*, "" if it admits it."""
    return word_of(lambda: door.admit(DEVICE.alias, level, packet, now))


def test_ten_thousand_replays_cost_no_signature_check(door: Door) -> None:
    """Nor does what is early, far, of another day, or another's: cheap things first."""
    key = Counting(DEVICE.key.public_key())
    door.senders()[0].public = cast("ec.EllipticCurvePublicKey", key)
    again = DEVICE.packet(0)
    for _ in range(10_000):
        assert word(door, again) == "replayed"
    others = {
        "early": DEVICE.packet(1, slot=8639),
        "far": DEVICE.packet(1 << 20),
        "epoch": DEVICE.packet(1, epoch=EPOCH - 1),
        "misplaced": DEVICE.packet(1, Kind.WAVE),
    }
    for expected, packet in others.items():
        assert word(door, packet) == expected
    assert key.asked == 0
    assert word(door, DEVICE.packet(1)) == ""
    assert key.asked == 1


def test_a_credential_ends(door: Door) -> None:
    """Yesterday's key authenticates nothing, even for a packet of its own day."""
    packet = DEVICE.packet(1)
    begins, ends = (EPOCH * DAY - 6 * HOUR, EPOCH * DAY + 48 * HOUR)
    assert word(door, packet, ends - 1) == ""
    assert word(door, packet, ends) == "expired"
    eve = DEVICE.packet(1, Kind.KEY, slot=0)
    assert word(door, eve, begins, "key") == ""
    assert word(door, eve, begins - 1, "key") == "expired"


def test_a_clock_set_back_lets_nothing_in_twice(door: Door) -> None:
    """The numbers decide about repeats, the clock only about days."""
    for now in (NOON, NOON - 12 * HOUR, NOON + 24 * HOUR):
        assert word(door, DEVICE.packet(0, slot=0), now) == "replayed"
    assert word(door, DEVICE.packet(1)) == ""


def test_a_backlog_is_history(door: Door) -> None:
    """Taken within the credential's life, and never as what happens now."""
    now = NOON
    for packet, live in (
        (DEVICE.packet(1, slot=DEVICE.slot(now)), True),
        (DEVICE.packet(1, slot=0), False),
    ):
        assert door.admit(DEVICE.alias, "vitals", packet, now).live is live


# --- packets, on a running site ----------------------------------------------


REPLAYED = refusals("packets", "replayed", "replayed", "replayed")


def test_a_replayed_packet_is_stored_once(stage: Stage, own: Gateway) -> None:
    """At once, and when intake has been started anew; each time with a receipt."""
    now = int(clock.now().timestamp() * 1000)
    packets = [own.packet(seq, slot=own.slot(now)) for seq in range(3)]

    async def play(*, receipted: int) -> None:
        async with stage.session(own) as client:
            await said(client, own.topic(), *packets)
            await soon(lambda: own.upto(client) == receipted)

    asyncio.run(play(receipted=3))
    recorded = stage.stored(own.cred)
    with stage.counts("intake", *REPLAYED):
        asyncio.run(play(receipted=3))
    stage.restart("intake")
    with stage.counts("intake", *REPLAYED):
        asyncio.run(play(receipted=3))
    assert stage.stored(own.cred) == recorded
    assert sorted(recorded.values()) == sorted(packets)
    until(lambda: stage.refused(own.cred).get("replayed", (0, b""))[0] == 2 * 3)


def test_other_bytes_under_a_stored_number_are_a_contradiction(stage: Stage) -> None:
    """Told by code 8, once the marks cannot say more than that the number was used."""
    own = stage.gateway()
    now = int(clock.now().timestamp() * 1000)
    slot = own.slot(now)
    first, other, third = (
        own.packet(1, slot=slot, body=b"first"),
        own.packet(1, slot=slot, body=b"other"),
        own.packet(0, slot=slot),
    )

    async def say(packet: bytes, expected: Mapping[int, Code], upto: int) -> None:
        async with stage.session(own) as client:
            await said(client, own.topic(), packet)
            await soon(
                lambda: own.codes(client) == expected and own.upto(client) == upto
            )

    async def store_first() -> None:
        async with stage.session(own) as client:
            await said(client, own.topic(), first)
            await soon(lambda: bool(own.told(client)))

    asyncio.run(store_first())
    stage.restart("intake")  # which counts from 0 again: number 0 is missing
    with stage.counts("intake", *refusals("packets", "conflicting")):
        asyncio.run(say(other, {1: Code.CONFLICT}, 0))
    asyncio.run(say(third, {}, 1))
    assert set(stage.stored(own.cred).values()) == {first, third}
    until(lambda: stage.refused(own.cred).get("conflicting") == (1, digest(other)))


def test_a_packet_from_the_future_waits(stage: Stage) -> None:
    """Code 4: the gateway keeps it, and mends its clock."""
    left = DAY - int(clock.now().timestamp() * 1000) % DAY
    if AHEAD < left < EARLY + SLOT:  # what is early now is of a day not begun
        time.sleep((left - AHEAD) / 1000 + 1)
    own = stage.gateway()
    now = int(clock.now().timestamp() * 1000)
    epoch, in_day = divmod(now + EARLY, DAY)
    early = own.packet(0, epoch=epoch, slot=in_day // SLOT)
    mended = own.packet(0, slot=own.slot(now))

    async def run() -> Mapping[int, Code]:
        async with stage.session(own) as client:
            await said(client, own.topic(), early)
            await soon(lambda: bool(own.codes(client)))
            told = dict(own.codes(client))
            await said(client, own.topic(), mended)
            await soon(lambda: own.upto(client) == 1)
            return told

    with stage.counts("intake", *refusals("packets", "early")):
        assert asyncio.run(run()) == {0: Code.TIME}
    until(lambda: stage.refused(own.cred).get("early") == (1, digest(early)))
    assert list(stage.stored(own.cred).values()) == [mended]


# --- receipts, at the gateway ------------------------------------------------


class Server:
    """Who may tell a gateway what is stored, and how he would lie about it."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.custody, self.key, self.neighbour = secret(), secret(), secret()
        self.seconds = int(now.timestamp())

    def certificate(self, key: ec.EllipticCurvePrivateKey, partition: int) -> bytes:
        """Return custody's word for a day that *key* speaks for *partition*."""
        return receipt.ServiceCertificate(
            role="receipt",
            partition=partition,
            spki=signing.spki(key.public_key()),
            since=self.seconds - 60,
            until=self.seconds + 3600,
        ).sign(self.custody)

    def credential(self) -> Credential:
        """Return what custody gave to the gateway."""
        certificates = (
            self.certificate(self.key, 3),
            self.certificate(self.neighbour, 4),
        )
        nowhere = Path("none")
        return Credential(
            slot=0,
            alias=DEVICE.alias,
            epoch=EPOCH,
            key=DEVICE.key,
            identity=Identity(certificate=nowhere, key=nowhere, authority=nowhere),
            pins=Pins(
                mpk=b"", custody=signing.spki(self.custody.public_key()), broker=b""
            ),
            slip=slip.Slip(
                id=bytes(16),
                expires=self.seconds + 3600,
                epoch=EPOCH,
                policy_number=1,
                live="role:nurse",
                trend="role:nurse",
                pseudonym="7g4m2qk9x0tb",
                partition=3,
                certificates=certificates,
                pack_seconds=60,
            ),
            salts={},
        )


class Bedside:
    """A gateway that has sent five packets and waits for receipts."""

    def __init__(self, folder: Path) -> None:
        self.now = clock.now()
        self.server = Server(self.now)
        self.alias = Alias(DEVICE.alias)
        self.spool = Spool(folder / "spool.db")
        self.spool.open_credential(self.alias, EPOCH)
        self.packets = [DEVICE.packet(seq) for seq in range(5)]
        for _ in self.packets:
            self.spool.put(
                self.alias, EPOCH, 0, self.packets.__getitem__, at_ms=self.ms
            )
        self.metrics = Metrics()
        self.stale = 0
        self._commands = Commands(
            self.server.credential(), self.spool, self.metrics, self._renew
        )

    def _renew(self) -> None:
        self.stale += 1

    @property
    def ms(self) -> int:
        """Return the gateway's time."""
        return int(self.now.timestamp() * 1000)

    def stored(self, upto: int, **changes: Any) -> Receipt:  # noqa: ANN401 - fields
        """Return the receipt for all below *upto*, true unless *changes* say else."""
        last = sha256(self.packets[upto - 1]).digest() if upto else b""
        made = Receipt(epoch=EPOCH, upto=upto, server_ms=self.ms, last=last)
        return replace(made, **changes)

    def hear(
        self,
        message: Message,
        key: ec.EllipticCurvePrivateKey | None = None,
        alias: str = DEVICE.alias,
        verb: str = "receipt",
    ) -> None:
        """Let the gateway hear *message*, signed by the right *key* unless given."""
        signed = receipt.sign(key or self.server.key, alias, message)
        self.take(signed, verb)

    def take(self, payload: bytes, verb: str = "receipt") -> None:
        """Let the gateway hear *payload*."""
        self._commands.take(f"cmd/{self.alias}/{verb}", payload, self.now)

    def refused(self) -> dict[str, int]:
        """Return how many commands it has refused, by word."""
        return self.metrics.by("commands_refused", "reason")

    def marked(self) -> int:
        """Return how many packets are marked as stored."""
        return self.spool.states()["marked"]

    def whole(self) -> bool:
        """Say whether all five packets lie on the disk."""
        return sum(self.spool.states().values()) == 5


@pytest.fixture
def bedside(tmp_path: Path) -> Iterator[Bedside]:
    """Return a gateway that waits for receipts."""
    made = Bedside(tmp_path)
    yield made
    made.spool.close()


Lie = Callable[[Bedside], None]


def _forged(at: Bedside) -> None:
    kid = signing.kid_of(at.server.key.public_key())
    aad = cbor.encode(["smqtt/1 receipt", at.alias])
    at.take(signing.sign1(secret(), kid, at.stored(5).encode(), aad))


def _flipped(at: Bedside) -> None:
    signed = bytearray(receipt.sign(at.server.key, at.alias, at.stored(1)))
    signed[signed.index(EPOCH.to_bytes(2)) + 2] = 5  # upto
    at.take(bytes(signed))


LIES: Mapping[str, tuple[str, Lie]] = {
    "forged": ("forged", _forged),
    "flipped": ("forged", _flipped),
    "of-another-alias": (
        "forged",
        lambda at: at.hear(at.stored(5), alias="b" * 26),
    ),
    "by-another-partition": (
        "receipt",
        lambda at: at.hear(at.stored(5), at.server.neighbour),
    ),
    "of-other-bytes": ("digest", lambda at: at.hear(at.stored(5, last=bytes(32)))),
    "of-more-than-was-made": (
        "rolledback",
        lambda at: at.hear(
            Receipt(epoch=EPOCH, upto=6, server_ms=at.ms, last=bytes(32))
        ),
    ),
    "of-ranges-never-made": (
        "rolledback",
        lambda at: at.hear(at.stored(1, ranges=((3, 9),))),
    ),
    "as-another-command": ("verb", lambda at: at.hear(at.stored(5), verb="standdown")),
    "unsigned": ("unsigned", lambda at: at.take(b"\x84" + at.stored(5).encode())),
    "no-cbor": ("malformed", lambda at: at.take(b"\xff" * 40)),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lying_receipt_marks_nothing(bedside: Bedside, name: str) -> None:
    """And the gateway counts by which word it did not believe."""
    expected, lie = LIES[name]
    lie(bedside)
    assert bedside.refused() == {expected: 1}
    assert bedside.marked() == 0
    assert bedside.whole()
    bedside.hear(bedside.stored(5))
    assert bedside.marked() == 5


def test_a_key_that_nobody_certified_asks_for_a_slip_and_no_more(
    bedside: Bedside,
) -> None:
    """Nothing is marked; the slip is custody's to sign."""
    bedside.hear(bedside.stored(5), secret())
    assert (bedside.marked(), bedside.stale, bedside.refused()) == (0, 1, {})
    bedside.hear(bedside.stored(5))
    assert (bedside.marked(), bedside.stale) == (5, 1)


def test_a_receipt_of_yesterdays_key_marks_nothing(bedside: Bedside) -> None:
    """A stolen receipt key speaks for a day."""
    old = receipt.sign(bedside.server.key, bedside.alias, bedside.stored(3))
    bedside.now += timedelta(hours=2)
    bedside.take(old)
    assert (bedside.marked(), bedside.refused()) == (0, {"receipt": 1})
    bedside.now -= timedelta(hours=2)
    bedside.take(old)
    assert bedside.marked() == 3


def test_a_lower_or_repeated_receipt_marks_nothing_more(bedside: Bedside) -> None:
    """Nor does it take back what was marked."""
    first = receipt.sign(bedside.server.key, bedside.alias, bedside.stored(2))
    bedside.take(first)
    bedside.hear(bedside.stored(4))
    assert bedside.marked() == 4
    for _ in range(3):
        bedside.take(first)
    bedside.hear(bedside.stored(0))
    assert bedside.marked() == 4
    assert bedside.metrics.get("packets_receipted") == 4


def test_an_old_receipt_does_not_undo_a_resend(bedside: Bedside) -> None:
    """Or a recorded one would keep back what a restored server has lost."""
    old = receipt.sign(bedside.server.key, bedside.alias, bedside.stored(5))
    bedside.take(old)
    bedside.now += timedelta(seconds=10)
    asked = Resend(epoch=EPOCH, first=0, last=4, server_ms=bedside.ms)
    bedside.hear(asked, verb="resend")
    assert bedside.marked() == 0
    bedside.take(old)
    assert (bedside.marked(), bedside.refused()) == (0, {"repeated": 1})
    bedside.hear(asked, verb="resend")
    assert bedside.refused() == {"repeated": 2}
    bedside.now += timedelta(seconds=10)
    bedside.hear(bedside.stored(5))
    assert bedside.marked() == 5


def test_a_genuine_receipt_deletes_nothing(bedside: Bedside) -> None:
    """For two days a stolen receipt key costs a resend, not the data."""
    bedside.hear(bedside.stored(5))
    assert bedside.spool.purge(bedside.ms + 47 * HOUR) == 0
    assert bedside.whole()
    assert bedside.spool.purge(bedside.ms + 49 * HOUR) == 5


def test_a_server_that_calls_everything_early_holds_up_nothing(
    bedside: Bedside,
) -> None:
    """A server whose clock is wrong refuses all by code 4: all comes again."""
    for seq in range(5):
        bedside.hear(
            Refusal(epoch=EPOCH, seq=seq, code=Code.TIME, server_ms=bedside.ms)
        )
    states = bedside.spool.states()
    assert (bedside.whole(), states["held"], states["marked"]) == (True, 0, 0)
    assert bedside.metrics.get("packets_returned", code="time") == 5
    again = bedside.spool.window(bedside.alias, bedside.ms + HOUR)
    assert [each.body for each in again] == bedside.packets
    bedside.hear(bedside.stored(5))
    assert bedside.marked() == 5


def test_a_server_that_calls_everything_wrong_deletes_nothing(bedside: Bedside) -> None:
    """What is refused for good is set apart, and stays."""
    for seq in range(5):
        bedside.hear(
            Refusal(epoch=EPOCH, seq=seq, code=Code.CONFLICT, server_ms=bedside.ms)
        )
    assert bedside.whole()
    assert bedside.spool.states()["held"] == 5


# --- custody's desk ----------------------------------------------------------


def test_a_request_is_of_this_moment(stage: Stage, own: Gateway) -> None:
    """A recorded request for a credential or a slip is worth nothing after 120 s."""
    now = clock.now()
    request = request_of(secret())
    at = int(now.timestamp() * 1000)
    asked: Mapping[str, Mapping[str, Any]] = {
        "slip.fetch": {
            "alias": own.alias,
            "signature": own.signed("sealward/1 slip", own.alias, at),
        },
        "credential.issue": {
            "slot": 0,
            "request": request,
            "signature": own.signed(
                "sealward/1 credential", sha256(request).digest(), 0, at
            ),
        },
    }
    for verb, words in asked.items():
        args = {"idevid": own.keeper.spki, "at": at, **words}
        for late, expected in ((121, "request"), (-121, "request"), (119, "")):
            with stage.desk_at(now + timedelta(seconds=late)) as desk:
                assert word_of(partial(desk.answer, verb, args)) == expected
        moved = {**args, "at": at + 60_000}
        with stage.desk_at(now) as desk:
            assert word_of(partial(desk.answer, verb, moved)) == "forged"


def test_tomorrows_salts_are_not_handed_out_before_its_eve(
    stage: Stage, own: Gateway
) -> None:
    """From 18:00 UTC on, for those on duty over midnight; the day after never."""
    reader = stage.reader("role:nurse", "ward:icu")
    day = midnight(epoch_of(clock.now()))
    epoch = epoch_of(day)
    patient = stage.patient(own)
    for hour, last, expected in (
        (17.99, epoch, ""),
        (17.99, epoch + 1, "span"),
        (18, epoch + 1, ""),
        (23.9, epoch + 2, "span"),
    ):
        now = day + timedelta(hours=hour)
        with stage.desk_at(now) as desk:
            args = reader.asks(patient, epoch, last, now)
            assert word_of(partial(desk.answer, "salt.read", args)) == expected
