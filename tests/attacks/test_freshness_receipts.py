"""What a gateway obeys: every command that is not of this key, day, alias and order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.sender import EPOCH, MIDNIGHT, Sender

from sealward.bedside.commands import Commands
from sealward.metrics import Metrics
from sealward.seal import receipt, signing
from sealward.seal.receipt import Code, Receipt, Refusal, Resend, ServiceCertificate
from sealward.wire.spool import Spool
from sealward.wire.topics import Alias

if TYPE_CHECKING:
    from sealward.bedside.credential import Credential

HONEST = Sender()
OTHER = "h8w2n6c4j0z5b1f7s3e9y2k6ax"
NOON = MIDNIGHT + timedelta(hours=12)
DAYS = timedelta(days=1)
COUNT = 5


def key() -> ec.EllipticCurvePrivateKey:
    """Return a fresh key."""
    return ec.generate_private_key(ec.SECP256R1())


def ms(at: datetime) -> int:
    """Return *at* in ms since 1970."""
    return int(at.timestamp() * 1000)


@dataclass
class Pins:
    """Whom the gateway believes."""

    custody: bytes


@dataclass
class Slip:
    """As much of a slip as a command needs."""

    certificates: tuple[bytes, ...]
    partition: int = 0


@dataclass
class Bed:
    """As much of a credential as a command needs."""

    pins: Pins
    slip: Slip
    alias: str = HONEST.alias


class Gateway:
    """A spool with five packets under way, and the server that may receipt them."""

    def __init__(self, folder: Path) -> None:
        self.custody, self.key = key(), key()
        self.now = NOON
        self.asked = 0
        self.metrics = Metrics()
        self.alias = Alias(HONEST.alias)
        self.spool = Spool(folder / "spool.db")
        self.spool.open_credential(self.alias, EPOCH)
        for _ in range(COUNT):
            self.spool.put(self.alias, EPOCH, 0, HONEST.packet, at_ms=ms(NOON))
        self.rows = self.spool.window(self.alias, ms(NOON))
        self.spool.sent(self.rows, ms(NOON))
        self.bed = Bed(Pins(signing.spki(self.custody.public_key())), Slip(()))
        self.certify()
        bed = cast("Credential", self.bed)
        self.commands = Commands(bed, self.spool, self.metrics, self._stale)

    def _stale(self) -> None:
        self.asked += 1

    def certify(
        self,
        by: ec.EllipticCurvePrivateKey | None = None,
        *,
        role: str = "receipt",
        partition: int = 0,
        start: datetime = MIDNIGHT,
    ) -> None:
        """Let *by*, custody itself by default, certify the receipt key in the slip."""
        since = int(start.timestamp())
        certificate = ServiceCertificate(
            role=role,
            partition=partition,
            spki=signing.spki(self.key.public_key()),
            since=since,
            until=since + 86_400,
        )
        self.bed.slip = Slip((certificate.sign(by or self.custody),))

    def signed(self, message: receipt.Message, alias: str = HONEST.alias) -> bytes:
        """Return *message* as the receipt key signs it."""
        return receipt.sign(self.key, alias, message)

    def hears(self, payload: bytes, topic: str = "") -> None:
        """Let the gateway hear *payload* now."""
        where = topic or f"cmd/{self.alias}/receipt"
        self.commands.take(where, payload, self.now)

    def receipt(self, upto: int = 3, later: int = 0) -> Receipt:
        """Return a true receipt for the first *upto* packets, *later* ms after noon."""
        last = sha256(self.rows[upto - 1].body).digest()
        return Receipt(epoch=EPOCH, upto=upto, server_ms=ms(NOON) + later, last=last)

    def words(self) -> list[str]:
        """Return for what the gateway has refused commands."""
        return sorted(self.metrics.by("commands_refused", "reason"))

    def states(self) -> dict[str, int]:
        """Return what lies in the spool: how many of each state."""
        return {state: n for state, n in self.spool.states().items() if n}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """Return a gateway with five packets under way."""
    made = Gateway(tmp_path)
    yield made
    made.spool.close()


@dataclass(frozen=True)
class Act:
    """One hostile command, and what the gateway makes of it."""

    word: str
    do: Callable[[Gateway], object] = field(repr=False)


def hears(payload: Callable[[Gateway], bytes], topic: str = "") -> Callable[..., None]:
    """Return the act of saying *payload*."""
    return lambda g: g.hears(payload(g), topic)


def flipped(signed: bytes) -> bytes:
    """Return *signed* with another last bit."""
    return signed[:-1] + bytes([signed[-1] ^ 1])


def certified(**how: object) -> Callable[[Gateway], None]:
    """Return a true receipt by a key that is certified otherwise."""

    def act(g: Gateway) -> None:
        g.certify(**how)  # type: ignore[arg-type]
        g.hears(g.signed(g.receipt()))

    return act


ACTS = {
    "forged": Act("forged", hears(lambda g: flipped(g.signed(g.receipt())))),
    "another alias": Act("forged", hears(lambda g: g.signed(g.receipt(), OTHER))),
    "unsigned": Act("unsigned", hears(lambda g: b"\xd0" + g.signed(g.receipt())[1:])),
    "no command": Act("malformed", hears(lambda _: b"\xff" * 90)),
    "nothing": Act("malformed", hears(lambda _: b"")),
    "trailing": Act("trailing", hears(lambda g: g.signed(g.receipt()) + b"\0")),
    "another verb": Act(
        "verb", hears(lambda g: g.signed(g.receipt()), f"cmd/{HONEST.alias}/erase")
    ),
    "no topic": Act("verb", hears(lambda g: g.signed(g.receipt()), "cmd/x")),
    "another custody": Act("forged", certified(by=key())),
    "a relay's key": Act("receipt", certified(role="relay")),
    "another partition": Act("receipt", certified(partition=1)),
    "yesterday's key": Act("receipt", certified(start=MIDNIGHT - DAYS)),
    "tomorrow's key": Act("receipt", certified(start=MIDNIGHT + DAYS)),
    "other bytes": Act(
        "digest", hears(lambda g: g.signed(replace(g.receipt(), last=bytes(32))))
    ),
    "beyond what was made": Act(
        "rolledback", hears(lambda g: g.signed(replace(g.receipt(), upto=COUNT + 1)))
    ),
    "a range beyond": Act(
        "rolledback",
        hears(lambda g: g.signed(replace(g.receipt(), ranges=((4, COUNT),)))),
    ),
}


@pytest.mark.parametrize("name", ACTS)
def test_a_command_that_is_not_to_be_obeyed_marks_nothing(
    gateway: Gateway, name: str
) -> None:
    """It is refused by its word and counted; the true receipt after it is obeyed."""
    act = ACTS[name]
    act.do(gateway)
    assert gateway.words() == [act.word]
    assert gateway.states() == {"sent": COUNT}
    gateway.certify()
    gateway.hears(gateway.signed(gateway.receipt()))
    assert gateway.words() == [act.word]
    assert gateway.states() == {"sent": 2, "marked": 3}


@pytest.mark.parametrize(
    ("hours", "marked"), [(-1 / 3600, 0), (0, 3), (24 - 1 / 3600, 3), (24, 0)]
)
def test_a_receipt_key_has_its_day(gateway: Gateway, hours: float, marked: int) -> None:
    """A second before its certificate and at its end it speaks for nobody."""
    gateway.now = MIDNIGHT + timedelta(hours=hours)
    gateway.hears(gateway.signed(gateway.receipt()))
    assert gateway.states().get("marked", 0) == marked


def test_a_receipt_for_another_day_marks_nothing(gateway: Gateway) -> None:
    """Each (alias, epoch) has numbers of its own."""
    other = replace(gateway.receipt(), epoch=EPOCH + 1)
    gateway.hears(gateway.signed(other))
    assert gateway.words() == ["rolledback"]
    assert gateway.states() == {"sent": COUNT}
    gateway.hears(gateway.signed(gateway.receipt()))
    assert gateway.states() == {"sent": 2, "marked": 3}


def test_a_recorded_conversation_changes_nothing_when_it_is_played_back(
    gateway: Gateway,
) -> None:
    """Receipts and a resend, all genuine, heard again in any order."""
    wanted = Resend(epoch=EPOCH, first=1, last=2, server_ms=ms(NOON) + 3)
    said = [
        gateway.signed(gateway.receipt(2, later=1)),
        gateway.signed(gateway.receipt(4, later=2)),
        gateway.signed(wanted),
        gateway.signed(gateway.receipt(5, later=4)),
    ]
    for payload in said:
        gateway.hears(payload)
    assert gateway.states() == {"marked": COUNT}
    for payload in (*reversed(said), *said):
        gateway.hears(payload)
    assert gateway.states() == {"marked": COUNT}
    assert gateway.words() == ["repeated"]
    gateway.hears(gateway.signed(replace(wanted, server_ms=ms(NOON) + 5)))
    assert gateway.states() == {"marked": 3, "spooled": 2}


def test_a_genuine_receipt_deletes_nothing_for_two_days(gateway: Gateway) -> None:
    """A stolen key that receipts everything costs a resend, not the data."""
    gateway.hears(gateway.signed(gateway.receipt(COUNT)))
    for hours, left in ((0, COUNT), (47.9, COUNT), (48, 0)):
        gateway.spool.purge(ms(NOON + timedelta(hours=hours)))
        assert sum(gateway.states().values()) == left, hours


@pytest.mark.parametrize("code", [Code.EPOCH, Code.TIME])
def test_an_hour_of_a_wrong_clock_at_the_server_costs_nothing(
    gateway: Gateway, code: Code
) -> None:
    """Refused each minute, all of it waits, is never held, and goes out at the end."""
    for minute in range(60):
        gateway.now = NOON + timedelta(minutes=minute)
        for row in gateway.rows:
            refusal = Refusal(
                epoch=EPOCH, seq=row.seq, code=code, server_ms=ms(gateway.now)
            )
            gateway.hears(gateway.signed(refusal))
        at = ms(gateway.now)
        gateway.spool.sent(gateway.spool.window(gateway.alias, at), at)
    assert gateway.states() == {"sent": COUNT}
    assert gateway.spool.missing(gateway.alias, EPOCH) == []
    after = ms(gateway.now + timedelta(minutes=3))
    again = gateway.spool.window(gateway.alias, after)
    assert [row.body for row in again] == [row.body for row in gateway.rows]
    gateway.hears(gateway.signed(gateway.receipt(COUNT)))
    assert gateway.states() == {"marked": COUNT}


@pytest.mark.parametrize("code", sorted(set(Code) - {Code.EPOCH, Code.TIME}))
def test_what_is_refused_for_good_is_held_and_not_deleted(
    gateway: Gateway, code: Code
) -> None:
    """One packet leaves the window and stands in the seal's list; four go on."""
    refusal = Refusal(epoch=EPOCH, seq=1, code=code, server_ms=ms(NOON))
    gateway.hears(gateway.signed(refusal))
    assert gateway.states() == {"sent": COUNT - 1, "held": 1}
    assert gateway.spool.missing(gateway.alias, EPOCH) == [(1, code)]
    later = ms(NOON + timedelta(minutes=3))
    going = [row.seq for row in gateway.spool.window(gateway.alias, later)]
    assert going == [0, 2, 3, 4]
