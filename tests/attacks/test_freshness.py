"""Freshness: what is old, early or repeated is refused before it costs anything."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.sender import EPOCH, MIDNIGHT, NOON, SLOT, Sender, door

from sealward.bedside.commands import Commands
from sealward.errors import RefusalError
from sealward.intake.door import DAY, Door, ReplayedError
from sealward.metrics import Metrics
from sealward.seal import receipt, signing
from sealward.seal.envelope import Kind
from sealward.seal.receipt import Code, Receipt, Refusal, ServiceCertificate
from sealward.wire.spool import Spool
from sealward.wire.topics import Alias

if TYPE_CHECKING:
    from sealward.bedside.credential import Credential as RealCredential

HONEST = Sender()
HOUR = 3_600_000  # ms


class CountingKey:
    """A key that counts how often somebody asks it to verify."""

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key
        self.asked = 0

    def verify(self, *arguments: object) -> None:
        """Verify, and count."""
        self.asked += 1
        self._key.verify(*arguments)  # type: ignore[arg-type]


def word(guarded: Door, packet: bytes, now: int, level: str = "vitals") -> str:
    """Return what the door makes of *packet* at *now*: a refusal's word, or ``ok``."""
    try:
        guarded.admit(HONEST.alias, level, packet, now)
    except RefusalError as error:
        return error.reason
    return "ok"


@pytest.mark.parametrize(
    ("epoch", "slot", "now", "kind", "expected"),
    [
        (EPOCH, SLOT, NOON, Kind.VITALS, "ok"),
        (EPOCH - 1, SLOT, NOON, Kind.VITALS, "epoch"),
        (EPOCH + 2, SLOT, NOON, Kind.VITALS, "epoch"),
        (EPOCH + 1, 0, NOON, Kind.VITALS, "epoch"),
        (EPOCH + 1, 0, NOON, Kind.KEY, "epoch"),
        (EPOCH + 1, 0, (EPOCH + 1) * DAY - 6 * HOUR - 1, Kind.KEY, "epoch"),
        (EPOCH + 1, 0, (EPOCH + 1) * DAY - 6 * HOUR, Kind.KEY, "ok"),
        (EPOCH + 1, 0, (EPOCH + 1) * DAY - HOUR, Kind.VITALS, "epoch"),
        (EPOCH + 1, 0, (EPOCH + 1) * DAY - 60_000, Kind.VITALS, "ok"),
        (EPOCH + 1, 0, (EPOCH + 1) * DAY + 1, Kind.VITALS, "ok"),
        (EPOCH, SLOT + 60, NOON, Kind.VITALS, "early"),
        (EPOCH, SLOT + 11, NOON, Kind.VITALS, "ok"),
        (EPOCH, 0, NOON, Kind.VITALS, "ok"),
        (EPOCH, SLOT, (EPOCH + 2) * DAY - 1, Kind.VITALS, "ok"),
        (EPOCH, SLOT, (EPOCH + 2) * DAY, Kind.VITALS, "expired"),
        (EPOCH, SLOT, EPOCH * DAY - 6 * HOUR - 1, Kind.VITALS, "expired"),
    ],
)
def test_only_the_days_of_a_credential_are_open(
    epoch: int, slot: int, now: int, kind: Kind, expected: str
) -> None:
    """The edges of a credential's days, from both sides."""
    level = "key" if kind is Kind.KEY else "vitals"
    packet = HONEST.packet(kind=kind, epoch=epoch, slot=slot)
    assert word(door(HONEST), packet, now, level) == expected


def test_a_replay_is_refused_without_looking_at_its_signature() -> None:
    """Ten thousand repeats cost no public-key work."""
    guarded = door(HONEST)
    packet = HONEST.packet()
    counting = CountingKey(HONEST.key.public_key())
    sender = guarded.sender(HONEST.alias)
    assert sender is not None
    sender.public = counting  # type: ignore[assignment]
    admitted = guarded.admit(HONEST.alias, "vitals", packet, NOON)
    assert counting.asked == 1
    admitted.sender.mark(EPOCH).stored(0, packet)
    for _ in range(10_000):
        with pytest.raises(ReplayedError):
            guarded.admit(HONEST.alias, "vitals", packet, NOON)
    assert counting.asked == 1
    assert word(guarded, HONEST.packet(1), NOON) == "ok"


def test_a_number_is_used_up_by_the_commit_alone() -> None:
    """A forger burns no number, and a lost commit neither."""
    guarded = door(HONEST)
    forged = HONEST.packet()[:-1] + bytes([HONEST.packet()[-1] ^ 1])
    assert word(guarded, forged, NOON) == "forged"
    assert word(guarded, HONEST.packet(), NOON) == "ok"
    assert word(guarded, HONEST.packet(), NOON) == "ok"


def test_a_number_far_away_is_refused() -> None:
    """No honest gateway is 65 536 packets ahead of its receipts."""
    guarded = door(HONEST)
    assert word(guarded, HONEST.packet(65_536), NOON) == "far"
    assert word(guarded, HONEST.packet(65_535), NOON) == "ok"


def test_a_revoked_credential_is_refused_by_that_word() -> None:
    """The door hears of it from the registry, and says why."""
    guarded = Door()
    guarded.learn([HONEST.row(revoked_at=datetime(2026, 11, 23, 11, tzinfo=UTC))])
    assert word(guarded, HONEST.packet(), NOON) == "revoked"
    guarded.learn([HONEST.row()])
    assert word(guarded, HONEST.packet(), NOON) == "ok"


def test_a_stranger_is_unknown() -> None:
    """Nobody's alias is refused before any signature is looked at."""
    assert word(Door(), HONEST.packet(), NOON) == "unknown"
    assert word(door(HONEST), HONEST.packet(), NOON) == "ok"


class Bedside:
    """A gateway's spool with five packets, and the server's keys."""

    def __init__(self, folder: Path) -> None:
        self.now = MIDNIGHT + timedelta(hours=12)
        self.custody = ec.generate_private_key(ec.SECP256R1())
        self.keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
        self.spool = Spool(folder / "spool.db")
        self.alias = Alias(HONEST.alias)
        self.spool.open_credential(self.alias, EPOCH)
        for _ in range(5):
            self.spool.put(self.alias, EPOCH, 0, HONEST.packet, at_ms=NOON)
        self.rows = self.spool.window(self.alias, NOON)
        self.spool.sent(self.rows, NOON)
        self.asked = 0
        self.metrics = Metrics()
        credential = cast("RealCredential", self._credential())
        self.commands = Commands(credential, self.spool, self.metrics, self._stale)

    def _stale(self) -> None:
        self.asked += 1

    def _credential(self) -> "Credential":
        certificates = [
            ServiceCertificate(
                role="receipt",
                partition=number,
                spki=signing.spki(key.public_key()),
                since=int(MIDNIGHT.timestamp()),
                until=int(MIDNIGHT.timestamp()) + 86_400,
            ).sign(self.custody)
            for number, key in enumerate(self.keys)
        ]
        return Credential(
            self.alias,
            signing.spki(self.custody.public_key()),
            tuple(certificates),
        )

    def hear(self, message: receipt.Message, key: int = 0, alias: str = "") -> int:
        """Let the gateway hear *message*; return how many packets it has marked."""
        signed = receipt.sign(self.keys[key], alias or self.alias, message)
        return self.hear_bytes(signed)

    def hear_bytes(self, signed: bytes) -> int:
        """Let the gateway hear *signed* bytes; return how many are marked."""
        self.commands.take(f"cmd/{self.alias}/receipt", signed, self.now)
        return self.spool.states()["marked"]

    def receipt(self, upto: int, last: bytes | None = None) -> Receipt:
        """Return a receipt for the first *upto* packets."""
        digest = sha256(self.rows[upto - 1].body).digest()
        return Receipt(epoch=EPOCH, upto=upto, server_ms=NOON, last=last or digest)


class Credential:
    """As much of a bed's credential as a command needs."""

    def __init__(
        self, alias: str, custody: bytes, certificates: tuple[bytes, ...]
    ) -> None:
        self.alias = alias
        self.pins = type("Pins", (), {"custody": custody})
        self.slip = type("Slip", (), {"certificates": certificates, "partition": 0})


@pytest.fixture
def bedside(tmp_path: Path) -> Bedside:
    """Return a gateway with five packets under way."""
    return Bedside(tmp_path)


def test_a_receipt_that_is_not_ours_marks_nothing(bedside: Bedside) -> None:
    """Forged, for another alias, by another partition's key: nothing is forgotten."""
    good = receipt.sign(bedside.keys[0], bedside.alias, bedside.receipt(3))
    forged = good[:-1] + bytes([good[-1] ^ 1])
    assert bedside.hear_bytes(forged) == 0
    assert bedside.hear(bedside.receipt(3), alias="h8w2n6c4j0z5b1f7s3e9y2k6ax") == 0
    assert bedside.hear(bedside.receipt(3), key=1) == 0
    assert bedside.hear(bedside.receipt(3, last=bytes(32))) == 0
    beyond = Receipt(epoch=EPOCH, upto=6, server_ms=NOON, last=bytes(32))
    assert bedside.hear(beyond) == 0
    refused = bedside.metrics.by("commands_refused", "reason")
    assert set(refused) == {"forged", "receipt", "digest", "rolledback"}
    assert bedside.hear(bedside.receipt(3)) == 3


def test_a_lower_or_repeated_receipt_unmarks_nothing(bedside: Bedside) -> None:
    """A replayed receipt is news of the past."""
    assert bedside.hear(bedside.receipt(4)) == 4
    assert bedside.hear(bedside.receipt(2)) == 4
    assert bedside.hear(bedside.receipt(4)) == 4


def test_an_unknown_key_only_asks_for_the_slip(bedside: Bedside) -> None:
    """A receipt of a key that the slip does not name makes the gateway ask anew."""
    stranger = ec.generate_private_key(ec.SECP256R1())
    signed = receipt.sign(stranger, bedside.alias, bedside.receipt(3))
    assert bedside.hear_bytes(signed) == 0
    assert bedside.asked == 1
    assert bedside.hear(bedside.receipt(3)) == 3


@pytest.mark.parametrize("code", [Code.EPOCH, Code.TIME])
def test_a_wrong_clock_at_the_server_empties_no_spool(
    bedside: Bedside, code: Code
) -> None:
    """Codes that time heals hold nothing back for ever."""
    for row in bedside.rows:
        bedside.hear(Refusal(epoch=EPOCH, seq=row.seq, code=code, server_ms=NOON))
    assert bedside.spool.states()["held"] == 0
    later = NOON + 10 * 60_000
    assert len(bedside.spool.window(bedside.alias, later)) == 5
    held = Refusal(epoch=EPOCH, seq=0, code=Code.SIGNATURE, server_ms=NOON)
    bedside.hear(held)
    assert bedside.spool.states()["held"] == 1
