"""What is sealed opens for the right attributes, on the right day, and not else."""

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from sealward.errors import UnreadableError
from sealward.seal import envelope, keys, record, sealing, signing
from sealward.seal.envelope import Alarm, Kind, MisplacedError, OversizeError
from sealward.seal.opening import (
    OpenedRecord,
    UnsatisfiedError,
    open_packet,
    open_record,
)
from sealward.seal.policy import PolicyError
from sealward.seal.record import MismatchError, StaleError
from sealward.seal.sealing import ContentKey, ExhaustedError

if TYPE_CHECKING:
    from tests.seal.conftest import Day


@pytest.fixture
def live(day: "Day") -> ContentKey:
    """Return a live key of the day."""
    return day.content()


@pytest.fixture
def opened(day: "Day", live: ContentKey) -> OpenedRecord:
    """Return the live record, opened by a member of the care team."""
    return open_record(day.kem, day.key("care:a"), live.record, **day.known(live))


def test_a_packet_comes_back(
    day: "Day", live: ContentKey, opened: OpenedRecord
) -> None:
    """Sealed by the gateway, verified by anyone, opened by the care team."""
    alarm = Alarm(bytes(16), 3)
    for seq, (kind, extra) in enumerate([(Kind.VITALS, None), (Kind.ALARM, alarm)]):
        packet = live.seal(
            kind, seq, 5220, b"text", signing_key=day.gateway, alarm=extra
        )
        found = envelope.read(packet)
        envelope.verify(found, day.alias, day.gateway.public_key())
        assert open_packet(opened, found, day.alias) == b"text"


def test_the_record_travels_as_a_packet(day: "Day", live: ContentKey) -> None:
    """The key packet bears the record's kid and body, and the gateway's signature."""
    found = envelope.read(live.key_packet(0, 0, day.gateway))
    envelope.verify(found, day.alias, day.gateway.public_key())
    assert (found.kind, found.kid, found.body) == (Kind.KEY, live.kid, live.record)
    assert record.read(found.body).kid == live.kid


def test_a_purpose_seals_its_own_kinds(day: "Day", live: ContentKey) -> None:
    """Trends can be granted without raw data only if no key serves for both."""
    trend = day.content(keys.TREND)
    with pytest.raises(MisplacedError):
        live.seal(Kind.ROLLUP, 0, 0, b"", signing_key=day.gateway)
    with pytest.raises(MisplacedError):
        trend.seal(Kind.VITALS, 0, 0, b"", signing_key=day.gateway)
    with pytest.raises(MisplacedError):
        live.seal(Kind.KEY, 0, 0, b"", signing_key=day.gateway)
    trend.seal(Kind.ROLLUP, 0, 0, b"", signing_key=day.gateway)


def test_a_packet_under_another_record_is_not_opened(
    day: "Day",
    live: ContentKey,
    opened: OpenedRecord,
) -> None:
    """Alias, epoch, kid and kind must be the record's, before any decryption."""
    found = envelope.read(live.seal(Kind.VITALS, 0, 0, b"t", signing_key=day.gateway))
    with pytest.raises(MismatchError):
        open_packet(opened, found, day.alias[::-1])
    for change in (
        {"epoch": day.epoch + 1},
        {"kid": b"\0\0\0\0"},
        {"kind": Kind.ROLLUP},
    ):
        fields: Any = {
            name: getattr(found, name)
            for name in envelope.Envelope.__dataclass_fields__
        }
        changed = envelope.Envelope(**{**fields, **change})
        with pytest.raises(MismatchError):
            open_packet(opened, changed, day.alias)


def test_the_whole_header_is_sealed_along(
    day: "Day",
    live: ContentKey,
    opened: OpenedRecord,
) -> None:
    """A gateway's own signature does not let a body move to another header."""
    alarm = Alarm(bytes(16), 3)
    found = envelope.read(
        live.seal(Kind.ALARM, 4, 9, b"t", signing_key=day.gateway, alarm=alarm)
    )
    for change in (
        {"seq": 5},
        {"slot": 8},
        {"alarm": Alarm(bytes(16), 0)},
        {"alarm": Alarm(b"\1" * 16, 3)},
        {"kind": Kind.VITALS, "alarm": None},
    ):
        fields: Any = {
            "kind": Kind.ALARM,
            "seq": 4,
            "slot": 9,
            "epoch": day.epoch,
            "body": found.body,
            "alarm": alarm,
            **change,
        }
        moved = envelope.seal_packet(day.gateway, day.alias, live.kid, **fields)
        with pytest.raises(UnreadableError):
            open_packet(opened, envelope.read(moved), day.alias)


def test_no_key_meets_one_nonce_twice(day: "Day") -> None:
    """Two starts draw two keys, so that a counter restored cannot repeat a pair."""
    pairs = set()
    for start in range(3):
        content = day.content(seed=bytes([start]))
        opened = open_record(
            day.kem, day.key("care:a"), content.record, **day.known(content)
        )
        for seq in range(4):
            content.seal(Kind.VITALS, seq, 0, b"t", signing_key=day.gateway)
            pairs.add((opened.keys.data, envelope.nonce(seq)))
    assert len(pairs) == 12


def test_a_key_never_seals_under_one_number_twice(day: "Day", live: ContentKey) -> None:
    """Two plaintexts under one key and nonce give both away."""
    live.seal(Kind.VITALS, 7, 0, b"one", signing_key=day.gateway)
    for seq in (7, 6, 0):
        with pytest.raises(ValueError, match="numbers rise"):
            live.seal(Kind.VITALS, seq, 0, b"two", signing_key=day.gateway)


def test_a_number_is_gone_though_its_packet_was_too_large(
    day: "Day",
    live: ContentKey,
) -> None:
    """What was encrypted once was encrypted, whatever became of it."""
    with pytest.raises(OversizeError):
        live.seal(Kind.EVENT, 1, 0, bytes(5000), signing_key=day.gateway)
    with pytest.raises(ValueError, match="numbers rise"):
        live.seal(Kind.EVENT, 1, 0, b"", signing_key=day.gateway)


def test_a_key_wears_out(
    day: "Day",
    live: ContentKey,
) -> None:
    """After 2**24 packets another key is needed; the count is the key's own."""
    live.worn = sealing.PACKETS - 1
    live.seal(Kind.VITALS, 0, 0, b"", signing_key=day.gateway)
    with pytest.raises(ExhaustedError):
        live.seal(Kind.VITALS, 1, 0, b"", signing_key=day.gateway)


@pytest.mark.parametrize("behind", [-1, 15])
def test_a_salt_of_another_time_is_not_sealed_under(day: "Day", behind: int) -> None:
    """A gateway stops sealing where its readers would refuse."""
    with pytest.raises(StaleError):
        day.content(salt_epoch=day.epoch - behind)


def test_a_worker_may_retell_an_older_day(day: "Day") -> None:
    """Its record rests on the salt of the day that it retells."""
    old = day.epoch - 100
    salt = keys.day_salt(day.erase_salt, old)
    content = day.content(keys.TREND, salt=salt, salt_epoch=old, worker=True)
    known = {**day.known(content), "salts": {old: salt}}
    key = day.key("care:a")
    with pytest.raises(StaleError):
        open_record(day.kem, key, content.record, **known)
    opened = open_record(day.kem, key, content.record, worker=True, **known)
    assert opened.epoch == day.epoch


def test_the_randomness_is_asked_for_exactly(day: "Day") -> None:
    """Too little would repeat, too much would be a misunderstanding."""
    for random in (bytes(79), bytes(81), b""):
        with pytest.raises(ValueError, match="random"):
            day.content(random=random)


def test_a_gateway_seals_under_no_broken_policy(day: "Day") -> None:
    """A policy that no reader accepts would lock everybody out."""
    with pytest.raises(PolicyError):
        day.content(policy_text="role:clinician and")


def test_two_who_may_not_read_may_not_read_together(day: "Day") -> None:
    """Components of two keys do not combine: each has its own randomness."""
    content = day.content()
    known = day.known(content)
    one = day.key("role:clinician", seed=b"1")
    two = day.key("ward:icu", seed=b"2")
    for key in (one, two):
        with pytest.raises(UnsatisfiedError):
            open_record(day.kem, key, content.record, **known)
    both: Any = type(one)(
        mpk=one.mpk,
        d0=one.d0,
        k=one.k,
        components={**one.components, **two.components},
    )
    with pytest.raises(UnreadableError, match="does not open"):
        open_record(day.kem, both, content.record, **known)


def test_a_salt_is_wrapped_for_one_patient() -> None:
    """A row copied to another patient unwraps to nothing."""
    salt, generation = sha256(b"salt").digest(), sha256(b"generation").digest()
    key = keys.salt_wrap_key(generation, bytes(16))
    wrapped = keys.wrap_salt(key, salt)
    assert len(wrapped) == 40
    assert keys.unwrap_salt(key, wrapped) == salt
    for other in (
        keys.salt_wrap_key(generation, b"\1" * 16),
        keys.salt_wrap_key(salt, bytes(16)),
    ):
        with pytest.raises(keys.SaltError):
            keys.unwrap_salt(other, wrapped)
    with pytest.raises(keys.SaltError):
        keys.unwrap_salt(key, wrapped[:-1])


def test_a_secret_never_shows_in_a_text(day: "Day", live: ContentKey) -> None:
    """What is printed by accident is not a key."""
    opened = open_record(day.kem, day.key("care:a"), live.record, **day.known(live))
    shown = repr(opened) + repr(live) + repr(day.key("care:a")) + repr(day.mpk)
    assert opened.keys.data.hex() not in shown
    assert repr(opened.keys.data) not in shown
    assert repr(signing.spki(day.gateway.public_key())) not in shown
