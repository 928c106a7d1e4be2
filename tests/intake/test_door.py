"""The door admits what a known gateway sealed in its days, once, and says why not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.attacker import EPOCH, NOON, Device

from sealward.errors import RefusalError
from sealward.intake.door import AHEAD, DAY, EVE, SLOT, Admitted, Door
from sealward.intake.marks import FURTHEST
from sealward.seal.envelope import NAMES, Kind

HOUR = 3600_000  # ms
SLOTS = st.integers(0, 8639)
DEVICE = Device()


def door(*devices: Device, **changes: Any) -> Door:  # noqa: ANN401 - a row's fields
    """Return a door that knows *devices*, with *changes* to their rows."""
    made = Door()
    made.learn([device.row(**changes) for device in devices or (DEVICE,)])
    return made


def outcome(at: Door, packet: bytes, level: str = "vitals", now: int = NOON) -> str:
    """Return "admitted", or the word by which *at* refuses *packet*."""
    try:
        at.admit(DEVICE.alias, level, packet, now)
    except RefusalError as error:
        return error.reason
    return "admitted"


def admit(at: Door, packet: bytes, now: int = NOON) -> Admitted:
    """Admit *packet* and mark it, as intake does after its commit."""
    admitted = at.admit(DEVICE.alias, "vitals", packet, now)
    admitted.sender.mark(admitted.packet.epoch).stored(admitted.packet.seq, packet)
    return admitted


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_a_gateway_is_admitted(kind: Kind) -> None:
    """On the topic of its own kind, with its outside read and its body untouched."""
    packet = DEVICE.packet(3, kind)
    admitted = door().admit(DEVICE.alias, NAMES[kind], packet, NOON)
    assert (admitted.packet.kind, admitted.packet.seq) == (kind, 3)
    assert (admitted.sender.cred, admitted.body) == (DEVICE.cred, packet)


@given(SLOTS, st.integers(-30 * HOUR, 60 * HOUR))
def test_a_packet_of_its_own_day_comes_while_the_credential_counts(
    slot: int, hours: int
) -> None:
    """From two minutes before its slot begins, to a day after its day."""
    now = EPOCH * DAY + hours
    if not -6 * HOUR <= hours < 48 * HOUR:
        expected = "expired"
    elif hours < -AHEAD:
        expected = "epoch"
    elif hours - slot * SLOT < -AHEAD:
        expected = "early"
    else:
        expected = "admitted"
    assert outcome(door(), DEVICE.packet(slot=slot), now=now) == expected


@given(st.integers(EPOCH - 3, EPOCH + 3), st.integers(0, 47))
def test_a_credential_serves_its_day_and_the_next(epoch: int, hour: int) -> None:
    """A gateway that midnight finds offline goes on; no other day is its own."""
    now = EPOCH * DAY + hour * HOUR
    packet = DEVICE.packet(slot=0, epoch=epoch)
    allowed = epoch in {EPOCH, EPOCH + 1} and epoch * DAY <= now
    assert (outcome(door(), packet, now=now) == "admitted") is allowed
    assert allowed or outcome(door(), packet, now=now) == "epoch"


@pytest.mark.parametrize(
    ("kind", "before", "word"),
    [
        (Kind.KEY, EVE, "admitted"),
        (Kind.KEY, EVE + 1, "epoch"),
        (Kind.VITALS, EVE, "epoch"),
        (Kind.VITALS, AHEAD + 1, "epoch"),
        (Kind.VITALS, AHEAD, "admitted"),
    ],
)
def test_a_key_record_alone_comes_on_the_eve(
    kind: Kind, before: int, word: str
) -> None:
    """So that displays have opened it before midnight; data come on their day."""
    packet = DEVICE.packet(kind=kind, slot=0, epoch=EPOCH + 1)
    now = (EPOCH + 1) * DAY - before
    assert outcome(door(), packet, NAMES[kind], now) == word


@given(st.integers(0, 2 * FURTHEST), st.lists(st.integers(0, 30), max_size=30))
def test_a_number_is_taken_once_and_within_reach(seq: int, stored: list[int]) -> None:
    """In any order; the window moves with what is stored without a hole."""
    at = door()
    mark = at.senders()[0].mark(EPOCH)
    for number in stored:
        mark.stored(number, b"")
    if seq in stored:
        expected = "replayed"
    elif seq >= mark.upto + FURTHEST:
        expected = "far"
    else:
        expected = "admitted"
    assert outcome(at, DEVICE.packet(seq)) == expected


@given(SLOTS, st.integers(0, 24 * HOUR))
def test_the_old_is_history_and_the_new_is_live(slot: int, after: int) -> None:
    """A backlog is stored, and never taken for what happens now."""
    now = EPOCH * DAY + slot * SLOT + after
    at = Door(pack_ms=60_000)
    at.learn([DEVICE.row()])
    admitted = at.admit(DEVICE.alias, "vitals", DEVICE.packet(slot=slot), now)
    assert admitted.live is (after <= 360_000)


def test_a_refusal_uses_up_no_number() -> None:
    """What is refused, or lost before its commit, may come again."""
    at = door()
    good = DEVICE.packet(0)
    for bad in (good[:-1] + b"\0", good + b"\0", DEVICE.packet(0, slot=8639)):
        assert outcome(at, bad) != "admitted"
    assert outcome(at, good) == "admitted"
    assert outcome(at, good) == "admitted", "not marked: it was not committed"
    admit(at, good)
    assert outcome(at, good) == "replayed"


def test_learning_anew_forgets_no_mark() -> None:
    """Or each change of the registry would open the door to what was stored."""
    at = door()
    admit(at, DEVICE.packet(0))
    at.learn([DEVICE.row(), Device(alias="b" * 26, cred=8).row()])
    assert outcome(at, DEVICE.packet(0)) == "replayed"
    assert outcome(at, DEVICE.packet(1)) == "admitted"


def test_a_worker_sends_only_what_workers_make() -> None:
    """A stolen worker's key gives no vital signs."""
    at = door(profile="worker")
    for kind in Kind:
        word = outcome(at, DEVICE.packet(kind=kind), NAMES[kind])
        own = kind in {Kind.KEY, Kind.ROLLUP, Kind.BUNDLE, Kind.SEAL}
        assert word == ("admitted" if own else "kind")


@given(st.binary(max_size=300), st.sampled_from([*NAMES.values(), "", "x"]))
def test_bytes_of_nobody_raise_nothing_else(data: bytes, level: str) -> None:
    """Whatever comes, the door says a word and lives."""
    assert outcome(door(), data, level) not in {"", "admitted"}
