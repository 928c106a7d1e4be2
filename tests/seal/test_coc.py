"""A frame of the critical channel shows who must run, and nothing of why."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealward.errors import RefusalError, UnreadableError
from sealward.seal import coc, keys
from sealward.seal.cbor import MalformedError
from sealward.seal.coc import Frame, Header, What
from sealward.seal.envelope import MisplacedError, OversizeError
from sealward.seal.opening import OpenedRecord, open_frame
from sealward.seal.record import MismatchError, Name
from sealward.seal.sealing import ContentKey
from sealward.seal.signing import ForgedError

if TYPE_CHECKING:
    from tests.seal.conftest import Day

V = json.loads(
    (Path(__file__).parents[1] / "vectors/packet/packet.json").read_text("utf-8")
)
RID, SECRET = bytes.fromhex(V["rid"]), bytes.fromhex(V["content_secret"])
NAME = Name(alias=V["alias"], epoch=V["epoch"], purpose=keys.LIVE, rid=RID)
KEYS = keys.derive(SECRET, bytes.fromhex(V["day_salt"]), NAME.context)
OPENED = OpenedRecord(
    alias=NAME.alias,
    epoch=NAME.epoch,
    kid=NAME.kid,
    purpose=keys.LIVE,
    tree="a:1",
    policy_number=1,
    previous=None,
    keys=KEYS,
)
ALARM = bytes.fromhex(V["coc_alarm"]["bytes"])


def header(**other: Any) -> Header:  # noqa: ANN401
    """Return an alarm's header, changed as told."""
    given: Any = {
        "seq": 0,
        "what": What.ALARM,
        "slot": 0,
        "priority": 3,
        "alarm_id": bytes(16),
    }
    return Header(**{**given, **other})


@pytest.fixture
def live() -> ContentKey:
    """Return the vectors' live key."""
    return ContentKey(NAME, KEYS, b"")


@pytest.mark.parametrize("which", ["coc", "coc_alarm"])
def test_a_frame_is_reproduced_byte_for_byte(live: ContentKey, which: str) -> None:
    """The gateway's bytes are the vectors', and open again."""
    want = V[which]
    text = bytes.fromhex(want["plaintext"])
    made = live.frame(
        header(
            seq=want["seq"],
            what=What(want["what"]),
            slot=want["slot"],
            priority=want["priority"],
            alarm_id=bytes.fromhex(want["alarm"]),
        ),
        text,
    )
    assert made.hex() == want["bytes"]
    assert open_frame(OPENED, coc.read(made), NAME.alias) == text


def test_every_bit_of_a_frame_counts() -> None:
    """Whoever turns a bit, of the clear header too, is noticed by the reader."""
    for bit in range(0, 8 * len(ALARM), 3):
        changed = bytearray(ALARM)
        changed[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises((RefusalError, UnreadableError)):
            open_frame(OPENED, coc.read(bytes(changed)), NAME.alias)


def test_a_frame_is_not_anothers(day: "Day") -> None:
    """Another alias or another record's key does not open it; nor a trend key."""
    frame = coc.read(ALARM)
    with pytest.raises(MismatchError):
        open_frame(OPENED, frame, NAME.alias[::-1])
    fields: Any = {name: getattr(frame, name) for name in Frame.__slots__}
    for change in ({"epoch": 1}, {"kid": b"\0\0\0\0"}):
        with pytest.raises(MismatchError):
            open_frame(OPENED, Frame(**{**fields, **change}), NAME.alias)
    with pytest.raises(MisplacedError):
        day.content(keys.TREND).frame(header(), b"")


def test_a_frame_number_serves_once(live: ContentKey) -> None:
    """A repeat is the same bytes, kept; never the same number sealed again."""
    live.frame(header(seq=1024), b"one")
    for seq in (1024, 1023):
        with pytest.raises(ValueError, match="numbers rise"):
            live.frame(header(seq=seq), b"two")


@pytest.mark.parametrize(
    "change",
    [
        {"seq": -1},
        {"seq": 1 << 32},
        {"slot": 8640},
        {"priority": 4},
        {"alarm_id": b""},
        {"what": What.VITALS},
    ],
)
def test_no_frame_is_made_that_no_relay_takes(change: dict[str, Any]) -> None:
    """A fault of ours stops at the gateway."""
    with pytest.raises(ValueError, match="out of range"):
        coc.protect(header(**change), NAME.kid, NAME.epoch)


def test_a_frame_is_small(live: ContentKey) -> None:
    """The critical channel carries no bulk."""
    with pytest.raises(OversizeError):
        live.frame(header(), bytes(2048))
    with pytest.raises(OversizeError):
        coc.read(bytes(2049))


def test_a_number_has_one_partial_iv() -> None:
    """Two forms of one number would be two frames to a relay, one to a reader."""
    for seq in (0, 255, 256, (1 << 32) - 1):
        frame = coc.frame(coc.protect(header(seq=seq), NAME.kid, 1), b"")
        assert coc.read(frame).seq == seq
    long = ALARM.replace(b"\x06\x42\x04\x00", b"\x06\x43\x00\x04\x00")
    grown = long[:3] + bytes([long[3] + 1]) + long[4:]
    with pytest.raises(MalformedError):
        coc.read(grown)


@given(st.binary(max_size=120) | st.binary(max_size=99).map(lambda b: b"\xd0\x83" + b))
def test_random_bytes_are_no_frame(data: bytes) -> None:
    """A relay meets whatever the broker lets through."""
    with pytest.raises(RefusalError):
        coc.read(data)


def test_only_the_relay_ends_the_repeats(day: "Day") -> None:
    """A forged acknowledgement would silence an alarm that nobody has."""
    data = coc.sign_ack(day.gateway, NAME.alias, NAME.epoch, 7)
    public = day.gateway.public_key()
    assert coc.verify_ack(public, NAME.alias, data) == (NAME.epoch, 7)
    with pytest.raises(ForgedError):
        coc.verify_ack(public, NAME.alias[::-1], data)
    with pytest.raises(ForgedError):
        coc.verify_ack(day.idevid.public_key(), NAME.alias, data)
