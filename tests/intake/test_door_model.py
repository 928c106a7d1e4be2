"""The door against a model of itself: any order of honest, hostile and lost packets."""

import copy
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.support.sender import EPOCH, MIDNIGHT, NOON, SLOT, Sender, door

from sealward.errors import RefusalError
from sealward.intake.door import DAY, Admitted, Door
from sealward.intake.marks import FURTHEST, Mark
from sealward.seal.envelope import Kind

ALIASES = ("k3v9q0d2m7x5c1p8r4t6w0y2za", "h8w2n6c4j0z5b1f7s3e9y2k6ax")
SENDERS = tuple(Sender(alias=alias, cred=n) for n, alias in enumerate(ALIASES, 7))
STRANGER = ec.generate_private_key(ec.SECP256R1())
NUMBERS = st.integers(0, 5)
WHO = st.sampled_from(SENDERS)
PACKETS: dict[tuple[str, int, int, str], bytes] = {}


def packet(sender: Sender, seq: int, size: int = 40, alias: str = "") -> bytes:
    """Return a signed packet; each is made once, for signing takes its time."""
    name = (sender.alias, seq, size, alias)
    if name not in PACKETS:
        made = sender.packet(seq, body=bytes(size), alias=alias or None)
        PACKETS[name] = made
    return PACKETS[name]


class Doorkeeping(RuleBasedStateMachine):
    """Two gateways, a database, and an attacker who has all that was ever sent.

    What the door admits is committed, or lost on the way, as the rules have it; the
    database keeps the first bytes of a number (its unique key), whatever comes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.door = door(*SENDERS)
        self.rows: dict[tuple[str, int], bytes] = {}
        self.honest: set[bytes] = set()
        self.revoked: set[str] = set()

    def ask(self, alias: str, body: bytes, level: str = "vitals") -> str | Admitted:
        """Return what the door makes of *body*: an admission or a refusal's word."""
        try:
            return self.door.admit(alias, level, body, NOON)
        except RefusalError as error:
            return error.reason

    def knows(self, alias: str, seq: int) -> bool:
        """Return whether the door's memory has the number."""
        sender = self.door.sender(alias)
        assert sender is not None
        return sender.mark(EPOCH).knows(seq)

    @rule(who=WHO, seq=NUMBERS, lost=st.booleans())
    def honest_packet(self, who: Sender, seq: int, *, lost: bool) -> None:
        """Send as a gateway does, perhaps again; the commit may be lost."""
        body = packet(who, seq)
        self.honest.add(body)
        repeated = self.knows(who.alias, seq)
        answer = self.ask(who.alias, body)
        if who.alias in self.revoked:
            assert answer == "revoked"
        elif repeated:
            assert answer == "replayed"
            assert (who.alias, seq) in self.rows
        else:
            assert isinstance(answer, Admitted)
            if not lost:
                kept = self.rows.setdefault((who.alias, seq), body)
                assert kept == body
                answer.sender.mark(EPOCH).stored(seq, body)

    @rule(who=WHO, seq=NUMBERS, at=st.integers(0, 63), bit=st.integers(0, 7))
    def forged(self, who: Sender, seq: int, at: int, bit: int) -> None:
        """Change one bit of a signature: never admitted, and no number is used."""
        body = bytearray(packet(who, seq))
        body[len(body) - 64 + at] ^= 1 << bit
        before = self.knows(who.alias, seq)
        assert self.ask(who.alias, bytes(body)) in {"forged", "replayed", "revoked"}
        assert self.knows(who.alias, seq) == before

    @rule(seq=NUMBERS)
    def moved(self, seq: int) -> None:
        """Publish one gateway's packet as the other's, and sign for the other."""
        first, second = SENDERS
        for body in (packet(first, seq), packet(first, seq, alias=second.alias)):
            answer = self.ask(second.alias, body)
            assert answer in {"forged", "replayed", "revoked"}

    @rule(who=WHO, seq=NUMBERS)
    def stranger(self, who: Sender, seq: int) -> None:
        """Sign with a key that nobody has registered."""
        body = packet(Sender(alias=who.alias, key=STRANGER), seq, 39)
        assert self.ask(who.alias, body) in {"forged", "replayed", "revoked"}
        assert self.ask("z" * 26, packet(who, seq)) == "unknown"

    @rule(who=WHO, seq=NUMBERS, level=st.sampled_from(["wave", "alarm", "", "key"]))
    def misplaced(self, who: Sender, seq: int, level: str) -> None:
        """Publish on another kind's topic."""
        assert self.ask(who.alias, packet(who, seq), level) == "misplaced"

    @rule(who=WHO, seq=NUMBERS)
    def other_bytes(self, who: Sender, seq: int) -> None:
        """Sign other bytes with a cloned key: the first ones stay."""
        answer = self.ask(who.alias, packet(who, seq, 41))
        if isinstance(answer, Admitted):
            # Memory has no such number. The database's key decides, and this commit
            # is lost, so that no clone's bytes pass for an honest gateway's below.
            assert not self.knows(who.alias, seq)
            assert self.rows.get((who.alias, seq)) != packet(who, seq, 41)
        else:
            assert answer in {"replayed", "revoked"}

    @rule(who=WHO)
    def far(self, who: Sender) -> None:
        """Jump to a number that no honest gateway reaches."""
        if who.alias not in self.revoked:
            assert self.ask(who.alias, packet(who, 2 * FURTHEST)) == "far"

    @rule(who=WHO)
    def revoke(self, who: Sender) -> None:
        """End a credential in the registry."""
        self.revoked.add(who.alias)
        self.learn()

    @rule(who=WHO)
    def restore(self, who: Sender) -> None:
        """Take that back: the row is what counts, and the marks are not lost."""
        self.revoked.discard(who.alias)
        self.learn()

    def learn(self) -> None:
        """Let the door read the registry."""
        at = MIDNIGHT + timedelta(hours=1)
        self.door.learn(
            s.row(revoked_at=at if s.alias in self.revoked else None) for s in SENDERS
        )

    @rule()
    def start_anew(self) -> None:
        """Kill intake: the new one counts its marks from the database."""
        self.door = Door()
        self.learn()
        for sender in self.door.senders():
            numbers = {seq for alias, seq in self.rows if alias == sender.alias}
            upto = next(n for n in range(len(numbers) + 1) if n not in numbers)
            sender.marks[EPOCH] = Mark(upto)

    @rule()
    def replay_everything(self) -> None:
        """Play back all that was ever stored: no number is new."""
        before = copy.copy(self.rows)
        for (alias, seq), body in before.items():
            answer = self.ask(alias, body)
            if isinstance(answer, Admitted):  # memory has lost it: the key decides
                kept = self.rows.setdefault((alias, seq), body)
                assert kept == body
                answer.sender.mark(EPOCH).stored(seq, body)
        assert self.rows == before

    @invariant()
    def only_honest_bytes_are_stored(self) -> None:
        """Check that nothing is stored but what a gateway itself has sent."""
        assert set(self.rows.values()) <= self.honest

    @invariant()
    def the_door_knows_nothing_that_is_not_stored(self) -> None:
        """Check that a number is used up by the commit alone."""
        for sender in SENDERS:
            for seq in range(6):
                if self.knows(sender.alias, seq):
                    assert (sender.alias, seq) in self.rows


TestDoorkeeping = Doorkeeping.TestCase
TestDoorkeeping.settings = settings(max_examples=40, stateful_step_count=30)


@given(data=st.binary(max_size=400), level=st.sampled_from(["vitals", "key", "x"]))
def test_no_bytes_do_anything_but_be_refused(data: bytes, level: str) -> None:
    """Whatever arrives, the door says one word and lives."""
    with pytest.raises(RefusalError):
        door(SENDERS[0]).admit(ALIASES[0], level, data, NOON)


@given(at=st.integers(0, 300), noise=st.binary(min_size=1, max_size=8))
def test_no_splice_of_a_packet_is_admitted(at: int, noise: bytes) -> None:
    """Bytes written over, put between or cut out: only the packet itself passes."""
    good = packet(SENDERS[0], 0)
    at %= len(good)
    guarded = door(SENDERS[0])
    for changed in (
        good[:at] + noise + good[at + len(noise) :],
        good[:at] + noise + good[at:],
        good[:at] + good[at + len(noise) :],
    ):
        if changed != good:
            with pytest.raises(RefusalError):
                guarded.admit(ALIASES[0], "vitals", changed, NOON)
    assert guarded.admit(ALIASES[0], "vitals", good, NOON).packet.seq == 0


def test_every_byte_of_a_packet_counts() -> None:
    """Each byte in turn, changed to each of its eight neighbours, is refused."""
    good, guarded = packet(SENDERS[0], 0), door(SENDERS[0])
    for at in range(len(good)):
        for bit in range(8):
            changed = bytearray(good)
            changed[at] ^= 1 << bit
            with pytest.raises(RefusalError):
                guarded.admit(ALIASES[0], "vitals", bytes(changed), NOON)
    assert guarded.admit(ALIASES[0], "vitals", good, NOON).packet.seq == 0


HOUR = 3_600_000


@given(
    now=st.integers((EPOCH - 2) * DAY, (EPOCH + 4) * DAY),
    epoch=st.integers(EPOCH - 1, EPOCH + 3),
    slot=st.integers(0, 8639),
    kind=st.sampled_from([Kind.VITALS, Kind.KEY, Kind.EVENT]),
)
@example(now=(EPOCH + 1) * DAY - 6 * HOUR, epoch=EPOCH + 1, slot=0, kind=Kind.KEY)
@example(now=(EPOCH + 1) * DAY - 121_000, epoch=EPOCH + 1, slot=9, kind=Kind.KEY)
@example(now=(EPOCH + 1) * DAY - 121_000, epoch=EPOCH + 1, slot=0, kind=Kind.VITALS)
@example(now=(EPOCH + 2) * DAY - 1, epoch=EPOCH + 1, slot=8639, kind=Kind.VITALS)
@settings(max_examples=300)
def test_a_packet_is_of_its_credentials_days(
    now: int, epoch: int, slot: int, kind: Kind
) -> None:
    """Who gets in is within his days, of a day that counts, not of the future."""
    sender = SENDERS[0]
    name = (sender.alias, epoch, slot, kind.name)
    if name not in PACKETS:
        PACKETS[name] = sender.packet(kind=kind, epoch=epoch, slot=slot)
    level = kind.name.lower()
    try:
        admitted = door(sender).admit(sender.alias, level, PACKETS[name], now)
    except RefusalError as error:
        word = error.reason
    else:
        word = "ok"
        age = now - epoch * DAY - slot * 10_000
        assert admitted.live == (age <= 360_000)
    in_time = EPOCH * DAY - 6 * HOUR <= now < (EPOCH + 2) * DAY
    begins = epoch * DAY
    eve = kind is Kind.KEY and begins - 6 * HOUR <= now < begins
    begun = now >= begins - 120_000 or eve
    past = begins + slot * 10_000 <= now + 120_000 or eve
    if not in_time:
        assert word == "expired"
    elif epoch not in (EPOCH, EPOCH + 1) or not begun:
        assert word == "epoch"
    elif not past:
        assert word == "early"
    else:
        assert word == "ok"


def test_what_is_older_than_a_pack_and_five_minutes_is_no_news() -> None:
    """Backlog is admitted as history; it never counts as live."""
    sender = SENDERS[0]
    for slots, live in ((0, True), (36, True), (37, False), (4320, False)):
        body = sender.packet(slot=SLOT - slots)
        assert door(sender).admit(sender.alias, "vitals", body, NOON).live is live


def test_a_door_that_learns_keeps_its_marks() -> None:
    """A notice of the registry is no way to make it forget."""
    sender, guarded = SENDERS[0], door(*SENDERS)
    body = packet(sender, 0)
    admitted = guarded.admit(sender.alias, "vitals", body, NOON)
    admitted.sender.mark(EPOCH).stored(0, body)
    revoked: datetime = MIDNIGHT
    for rows in ([s.row() for s in SENDERS], [sender.row(revoked), SENDERS[1].row()]):
        guarded.learn(rows)
    guarded.learn([s.row() for s in SENDERS])
    with pytest.raises(RefusalError) as refused:
        guarded.admit(sender.alias, "vitals", body, NOON)
    assert refused.value.reason == "replayed"
    assert guarded.admit(sender.alias, "vitals", packet(sender, 1), NOON).live
