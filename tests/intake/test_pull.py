"""One pull is sorted: what came twice is a repeat or a conflict, and counted so."""

from typing import TYPE_CHECKING, cast

import pytest
from tests.support.sender import EPOCH, NOON, Sender, door

from sealward.intake.pull import Sorted
from sealward.intake.refused import Refused
from sealward.intake.store import number
from sealward.metrics import Metrics
from sealward.wire.telemetry import Delivery
from sealward.wire.topics import Alias

if TYPE_CHECKING:
    from nats.aio.msg import Msg

HONEST = Sender()


def delivery(body: bytes) -> Delivery:
    """Return *body* as it comes from the stream, to be acknowledged by nobody."""
    return Delivery(Alias(HONEST.alias), "vitals", body, 0, cast("Msg", None))


@pytest.mark.parametrize(
    ("second", "repeated", "words"),
    [
        (HONEST.packet(3), 1, []),
        (HONEST.packet(3, body=bytes(41)), 0, ["conflicting"]),
    ],
)
def test_the_first_of_a_number_counts(
    second: bytes, repeated: int, words: list[str]
) -> None:
    """Equal bytes are a repeat; other bytes are refused by name, not acknowledged."""
    first = HONEST.packet(3)
    admitted = door(HONEST).admit(HONEST.alias, "vitals", first, NOON)
    pull = Sorted(admitted=[admitted], theirs={number(admitted): delivery(first)})
    pull.twice(number(admitted), delivery(second))
    assert len(pull.repeated) == repeated
    assert [error.reason for _, error in pull.refused] == words
    assert pull.theirs[number(admitted)].body == first


def test_a_repeat_is_owed_a_receipt() -> None:
    """Its sender has lost the first one."""
    pull = Sorted()
    pull.repeat(delivery(HONEST.packet(3)))
    assert pull.owed == {(HONEST.alias, EPOCH)}


def test_a_flood_is_one_entry_that_nothing_loses() -> None:
    """What could not be kept counts again, under the digest of the very first."""
    metrics = Metrics()
    refused = Refused(metrics)
    for body in (b"first", b"second"):
        refused.add(7, "replayed", body)
    refused.add(0, "unknown", b"x")
    taken = refused.take()
    assert taken[7, "replayed"][0] == 2
    assert refused.take() == {}
    refused.add(7, "replayed", b"third")
    refused.put_back(taken)
    again = refused.take()
    assert again[7, "replayed"] == (3, taken[7, "replayed"][1])
    assert again[0, "unknown"] == taken[0, "unknown"]
    assert metrics.by("packets_refused", "reason") == {"replayed": 3, "unknown": 1}
