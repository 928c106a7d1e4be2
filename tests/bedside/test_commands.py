"""A gateway obeys what intake has signed for it today, and nothing else."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support.backstage import (
    ALIAS,
    DAY,
    EPOCH,
    MIDNIGHT,
    PARTITION,
    Backstage,
    pulse,
)

from sealward.bedside.commands import Commands
from sealward.metrics import Metrics
from sealward.seal.receipt import Code, Message, Receipt, Refusal, Resend
from sealward.wire.spool import DigestError, RolledBackError, Spool
from sealward.wire.topics import Alias

NOON = MIDNIGHT + DAY / 2
NOON_MS = int(NOON.timestamp() * 1000)
OTHER = "b" + ALIAS[1:]
PACKETS = 5  # in the spool: a key record and four packs


class Gateway:
    """A gateway with five packets in its spool, and what it makes of commands."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.stage = Backstage()
        self.metrics = Metrics()
        self.stale = 0
        credential = self.stage.credential()
        bed = self.stage.bed(spool, credential)
        for each in range(PACKETS - 1):
            pulse(bed, NOON + each * timedelta(seconds=1))
        bed.tick(NOON + timedelta(seconds=PACKETS))
        self.bodies = [row.body for row in spool.window(Alias(ALIAS), 0)]
        self.commands = Commands(credential, spool, self.metrics, self.is_stale)

    def is_stale(self) -> None:
        """Take note that the slip is too old."""
        self.stale += 1

    def receipt(self, upto: int, **other: object) -> Receipt:
        """Return an honest receipt for all below *upto*, unless told otherwise."""
        last = sha256(self.bodies[upto - 1]).digest() if 0 < upto <= PACKETS else b""
        given = {"epoch": EPOCH, "upto": upto, "server_ms": NOON_MS, "last": last}
        return Receipt(**{**given, **other})  # type: ignore[arg-type] # as told

    def hear(self, message: Message, topic: str = f"cmd/{ALIAS}/receipt") -> None:
        """Hear *message* on *topic*, at noon."""
        self.commands.take(topic, self.stage.say(message), NOON)

    @property
    def marked(self) -> int:
        """How many packets are receipted."""
        return self.spool.states()["marked"]

    @property
    def refused(self) -> dict[str, int]:
        """How many commands were refused, by reason."""
        return self.metrics.by("commands_refused", "reason")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """Return a gateway with five packets in its spool."""
    with Spool(tmp_path / "spool.db") as spool:
        yield Gateway(spool)


def test_a_receipt_marks_what_it_names(gateway: Gateway) -> None:
    """All below its mark, and the ranges above; a lost one is covered by the next."""
    gateway.hear(gateway.receipt(2, ranges=((3, 3),)))
    assert gateway.marked == 3
    gateway.hear(gateway.receipt(PACKETS))
    assert gateway.marked == PACKETS
    assert gateway.metrics.get("packets_receipted") == PACKETS
    assert gateway.refused == {}


def test_a_lower_receipt_says_nothing(gateway: Gateway) -> None:
    """One that was overtaken on its way unmarks nothing."""
    gateway.hear(gateway.receipt(4))
    gateway.hear(gateway.receipt(1))
    assert (gateway.marked, gateway.refused) == (4, {})


@pytest.mark.parametrize(
    ("alias", "spoil", "reason"),
    [
        (OTHER, lambda payload: payload, "forged"),
        (ALIAS, lambda payload: payload[:-1] + bytes([payload[-1] ^ 1]), "forged"),
        (ALIAS, lambda payload: payload[:-1], "malformed"),
        (ALIAS, lambda _: b"", "malformed"),
    ],
    ids=["another alias's", "one bit changed", "cut short", "empty"],
)
def test_what_intake_did_not_sign_for_us_marks_nothing(
    gateway: Gateway, alias: str, spoil: Callable[[bytes], bytes], reason: str
) -> None:
    """Beside it the same receipt, whole and ours, marks."""
    payload = spoil(gateway.stage.say(gateway.receipt(2), alias))
    gateway.commands.take(f"cmd/{ALIAS}/receipt", payload, NOON)
    assert (gateway.marked, gateway.refused) == (0, {reason: 1})
    gateway.hear(gateway.receipt(2))
    assert gateway.marked == 2


@pytest.mark.parametrize(
    ("partition", "days", "role"),
    [
        (PARTITION + 1, 0, "receipt"),
        (PARTITION, -1, "receipt"),
        (PARTITION, 0, "relay"),
    ],
    ids=["another partition's", "yesterday's", "a relay's"],
)
def test_a_stolen_service_key_speaks_for_its_own_alone(
    gateway: Gateway, partition: int, days: int, role: str
) -> None:
    """A key signs receipts for its partition and its day, as custody has certified."""
    certificate = gateway.stage.certificate(partition, days, role)
    credential = gateway.stage.credential()
    credential.slip = gateway.stage.slip(certificate)
    commands = Commands(credential, gateway.spool, gateway.metrics, gateway.is_stale)
    commands.take(f"cmd/{ALIAS}/receipt", gateway.stage.say(gateway.receipt(2)), NOON)
    assert (gateway.marked, gateway.refused) == (0, {"receipt": 1})


def test_an_unknown_key_has_the_slip_fetched_anew(gateway: Gateway) -> None:
    """Intake's new key is in today's slip; until it is there, nothing is marked."""
    gateway.commands.take(
        f"cmd/{ALIAS}/receipt", Backstage().say(gateway.receipt(2)), NOON
    )
    assert (gateway.marked, gateway.stale, gateway.refused) == (0, 1, {})


@pytest.mark.parametrize("verb", ["standdown", "limits", "coc-ack", "x"])
def test_a_verb_that_is_not_served_is_not_read(gateway: Gateway, verb: str) -> None:
    """A receipt under another verb's topic is none."""
    gateway.hear(gateway.receipt(2), f"cmd/{ALIAS}/{verb}")
    assert (gateway.marked, gateway.refused) == (0, {"verb": 1})


def test_a_receipt_for_other_bytes_marks_nothing_and_ends_the_alias(
    gateway: Gateway,
) -> None:
    """The server holds another packet under our number: this spool is an old copy."""
    gateway.hear(gateway.receipt(2, last=bytes(32)))
    assert (gateway.marked, gateway.refused) == (0, {"digest": 1})
    assert isinstance(gateway.commands.spoilt, DigestError)


def test_a_receipt_for_more_than_was_made_ends_the_alias(gateway: Gateway) -> None:
    """A spool that was put back from a backup would give numbers out twice."""
    gateway.hear(gateway.receipt(PACKETS + 1, last=bytes(32)))
    assert (gateway.marked, gateway.refused) == (0, {"rolledback": 1})
    assert isinstance(gateway.commands.spoilt, RolledBackError)


@pytest.mark.parametrize("code", Code)
def test_a_refusal_costs_nothing(gateway: Gateway, code: Code) -> None:
    """Time heals two codes; with the others the packet is held, and stays here.

    The same number with other bytes says besides that this spool is an old copy.
    """
    gateway.hear(Refusal(epoch=EPOCH, seq=2, code=code, server_ms=NOON_MS))
    states = gateway.spool.states()
    assert states["held"] == int(code not in (Code.EPOCH, Code.TIME))
    assert states["held"] + states["spooled"] + states["sent"] == PACKETS
    assert (gateway.commands.spoilt is not None) == (code == Code.CONFLICT)


def test_a_resend_unmarks_once(gateway: Gateway) -> None:
    """What the server has lost goes out again; an old order repeated does nothing.

    Nor does a receipt from before it, which would take back what it asked for.
    """
    before = gateway.receipt(PACKETS)
    gateway.hear(before)
    order = Resend(epoch=EPOCH, first=1, last=3, server_ms=NOON_MS)
    gateway.hear(order, f"cmd/{ALIAS}/resend")
    assert gateway.marked == PACKETS - 3
    gateway.hear(before)
    assert gateway.marked == PACKETS - 3
    gateway.hear(gateway.receipt(PACKETS, server_ms=NOON_MS + 1))
    gateway.hear(order, f"cmd/{ALIAS}/resend")
    assert (gateway.marked, gateway.refused) == (PACKETS, {"repeated": 2})
