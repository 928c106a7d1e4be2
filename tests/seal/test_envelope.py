"""A packet has one form, and only the gateway can make it."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from sealward.errors import RefusalError, SealwardError
from sealward.seal import envelope, keys, signing
from sealward.seal.cbor import MalformedError, TrailingError
from sealward.seal.envelope import (
    LIMITS,
    NAMES,
    Alarm,
    Kind,
    MisplacedError,
    OversizeError,
)
from sealward.seal.opening import OpenedRecord, open_packet
from sealward.seal.signing import AlgorithmError, ForgedError, UnsignedError

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors/packet/packet.json").read_text(
        encoding="utf-8"
    )
)
ALIAS, EPOCH = VECTORS["alias"], VECTORS["epoch"]
KID = bytes.fromhex(VECTORS["kid"])
PACKET = bytes.fromhex(VECTORS["packet"]["bytes"])
ALARM = bytes.fromhex(VECTORS["alarm"]["bytes"])
GATEWAY = ec.derive_private_key(int(VECTORS["gateway_private"], 16), ec.SECP256R1())
DATA_KEY = bytes.fromhex(VECTORS["keys"]["data"])
OPENED = OpenedRecord(
    alias=ALIAS,
    epoch=EPOCH,
    kid=KID,
    purpose=keys.LIVE,
    tree="a:1",
    policy_number=1,
    previous=None,
    keys=keys.DataKeys(data=DATA_KEY, coc=b"", check=b""),
)


def opened(data: bytes) -> bytes:
    """Return the plaintext of *data*, read, verified and opened."""
    found = envelope.read(data)
    envelope.verify(found, ALIAS, GATEWAY.public_key())
    return open_packet(OPENED, found, ALIAS)


def sealed(kind: Kind, seq: int, slot: int, text: bytes, alarm: Alarm | None) -> bytes:
    """Return the packet of the vectors' gateway."""
    aad = envelope.aead_aad(ALIAS, KID, kind, seq, slot, EPOCH, alarm)
    body = AESGCM(DATA_KEY).encrypt(envelope.nonce(seq), text, aad)
    return envelope.seal_packet(
        GATEWAY, ALIAS, KID, kind, seq, slot, EPOCH, body, alarm
    )


def test_the_packet_is_reproduced_byte_for_byte() -> None:
    """Signatures are RFC 6979 with low s, so that even they are the vectors'."""
    want = VECTORS["packet"]
    args = (Kind.VITALS, want["seq"], want["slot"])
    text = bytes.fromhex(want["plaintext"])
    assert sealed(*args, text, None) == PACKET
    assert envelope.nonce(want["seq"]).hex() == want["nonce"]
    assert envelope.aead_aad(ALIAS, KID, *args, EPOCH).hex() == want["aad"]
    assert opened(PACKET) == text


def test_the_alarm_is_reproduced_byte_for_byte() -> None:
    """An alarm shows its id and priority, and both are sealed along."""
    want = VECTORS["alarm"]
    alarm = Alarm(bytes.fromhex(want["alarm"][0]), want["alarm"][1])
    text = bytes.fromhex(want["plaintext"])
    assert sealed(Kind.ALARM, want["seq"], want["slot"], text, alarm) == ALARM
    assert envelope.read(ALARM).alarm == alarm
    assert opened(ALARM) == text


@pytest.mark.parametrize("number", range(5))
def test_every_packet_of_the_sealed_day_is_reproduced(number: int) -> None:
    """The same plaintext under five numbers gives five packets."""
    text = bytes.fromhex(VECTORS["packet"]["plaintext"])
    slot = VECTORS["packet"]["slot"] + 6 * number
    packet = sealed(Kind.VITALS, number, slot, text, None)
    assert packet.hex() == VECTORS["seal"]["packets"][number]


@pytest.mark.parametrize("which", ["seal", "seal_with_gone"])
def test_seals_are_read_as_packets(which: str) -> None:
    """A seal is a packet like any other to the door."""
    found = envelope.read(bytes.fromhex(VECTORS[which]["bytes"]))
    envelope.verify(found, ALIAS, GATEWAY.public_key())
    assert (found.kind, found.seq) == (Kind.SEAL, 5)


@pytest.mark.parametrize("case", VECTORS["reject"], ids=lambda case: case["name"])
def test_what_is_not_the_packet_is_refused(case: dict[str, str]) -> None:
    """Each has a fault that a laxer reader forgives."""
    with pytest.raises(SealwardError):
        opened(bytes.fromhex(case["bytes"]))


def test_every_bit_counts() -> None:
    """No bit of a packet can be turned without being noticed."""
    for bit in range(0, 8 * len(PACKET), 3):
        changed = bytearray(PACKET)
        changed[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(SealwardError):
            opened(bytes(changed))


def head(data: bytes, old: bytes, new: bytes) -> bytes:
    """Return *data* with *old* replaced once."""
    assert old in data
    return data.replace(old, new, 1)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\xd2\x84" + bytes(64 * 1024), OversizeError),
        (b"\xd0" + PACKET[1:], UnsignedError),
        (PACKET[1:], UnsignedError),
        (PACKET[:-66] + b"\x40", UnsignedError),
        (head(PACKET, b"\x01\x26", b"\x01\x27"), AlgorithmError),
        (head(PACKET, b"\x49\xa2\x01\x26", b"\x4a\xa2\x01\x38\x22"), AlgorithmError),
        (PACKET + b"\0", TrailingError),
        (PACKET[:-1], MalformedError),
        (PACKET[:20], MalformedError),
        (head(PACKET, b"\xa0\x58", b"\xa1\x58"), MalformedError),
        (head(PACKET, b"\x58\x6b", b"\x59\x00\x6b"), MalformedError),
        (head(PACKET, b"\x85\x00", b"\x85\x09"), MalformedError),
        (head(PACKET, b"\x85\x00", b"\x85\x05"), MalformedError),
        (head(PACKET, b"\x85\x00", b"\x86\x00"), MalformedError),
        (b"", MalformedError),
        (b"\x00", MalformedError),
    ],
)
def test_a_refusal_says_what_is_wrong(data: bytes, error: type[RefusalError]) -> None:
    """One word a fault, for the audit."""
    with pytest.raises(RefusalError) as caught:
        envelope.read(data)
    assert type(caught.value) is error


def test_a_number_has_one_form() -> None:
    """Shortest heads only, at every width."""
    for value in (0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1):
        packet = envelope.seal_packet(
            GATEWAY, ALIAS, KID, Kind.EVENT, value, 0, value, b"x", None
        )
        found = envelope.read(packet)
        assert (found.seq, found.epoch, found.body) == (value, value, b"x")
    for long in (b"\x18\x07", b"\x19\x00\x07", b"\x1a\x00\x00\x00\x07", b"\x1b\0\0\0"):
        grown = PACKET[14] + len(long) - 1
        data = PACKET[:14] + bytes([grown]) + PACKET[15:]
        with pytest.raises(MalformedError):
            envelope.read(head(data, b"\x85\x00\x07", b"\x85\x00" + long))


@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 16000])
def test_a_body_of_any_length_is_read(size: int) -> None:
    """The body's head and the payload's change with its length."""
    packet = envelope.seal_packet(
        GATEWAY, ALIAS, KID, Kind.VITALS, 1, 2, 3, b"b" * size, None
    )
    found = envelope.read(packet)
    assert found.body == b"b" * size
    envelope.verify(found, ALIAS, GATEWAY.public_key())


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.ALARM])
def test_each_kind_has_its_limit(kind: Kind) -> None:
    """A packet one byte above its kind's limit is neither made nor read."""

    def packet(body: bytes) -> bytes:
        return envelope.seal_packet(GATEWAY, ALIAS, KID, kind, 1, 2, 3, body, None)

    overhead = len(packet(bytes(1000))) - 1000
    body = bytes(LIMITS[kind] - overhead)
    assert len(packet(body)) == LIMITS[kind]
    assert envelope.read(packet(body)).kind is kind
    with pytest.raises(OversizeError):
        packet(body + b"\0")


def test_a_larger_packet_of_a_small_kind_is_refused() -> None:
    """The signed kind decides; a wave's size does not serve an event."""
    packet = envelope.seal_packet(
        GATEWAY, ALIAS, KID, Kind.WAVE, 1, 2, 3, bytes(5000), None
    )
    with pytest.raises(OversizeError):
        envelope.read(head(packet, b"\x85\x01", b"\x85\x04"))


def test_a_packet_cannot_be_moved_to_another_alias() -> None:
    """The alias is signed and not sent, so a topic cannot lend its own."""
    found = envelope.read(PACKET)
    for alias in (ALIAS[::-1], ALIAS + "a", ALIAS[:-1], "", "ä" * 26):
        with pytest.raises(ForgedError):
            envelope.verify(found, alias, GATEWAY.public_key())


def test_a_signature_has_no_twin() -> None:
    """(r, n - s) fits too: with it, one packet would be two."""
    s = int.from_bytes(PACKET[-32:])
    twin = PACKET[:-32] + (signing.P256_ORDER - s).to_bytes(32)
    with pytest.raises(ForgedError):
        envelope.verify(envelope.read(twin), ALIAS, GATEWAY.public_key())


def test_every_shape_of_signature_is_verified() -> None:
    """Leading zeros in r or s, once in 256, change the DER and not the answer."""
    seen = set()
    for number in range(3000):
        signature = signing.sign(GATEWAY, number.to_bytes(2))
        shape = (signature[0] == 0, signature[0] >= 0x80, signature[32] == 0)
        if shape not in seen:
            seen.add(shape)
            signing.verify(GATEWAY.public_key(), number.to_bytes(2), signature)
        if len(seen) == 6:
            break
    assert len(seen) >= 4
    for zeros in (bytes(64), bytes(32) + b"\1" * 32, b"\1" * 32 + bytes(32)):
        with pytest.raises(ForgedError):
            signing.verify(GATEWAY.public_key(), b"", zeros)


def test_the_topic_and_the_packet_agree_on_the_kind() -> None:
    """A packet on another level's topic would pass another level's rules."""
    found = envelope.read(PACKET)
    envelope.place(found, NAMES[Kind.VITALS])
    with pytest.raises(MisplacedError):
        envelope.place(found, "alarm")


@pytest.mark.parametrize(
    "fields",
    [
        (Kind.VITALS, -1, 0, 0, b"", None),
        (Kind.VITALS, 0, 8640, 0, b"", None),
        (Kind.VITALS, 0, 0, 1 << 32, b"", None),
        (Kind.ALARM, 0, 0, 0, b"", None),
        (Kind.VITALS, 0, 0, 0, b"", Alarm(bytes(16), 1)),
        (Kind.ALARM, 0, 0, 0, b"", Alarm(bytes(15), 1)),
        (Kind.ALARM, 0, 0, 0, b"", Alarm(bytes(16), 4)),
    ],
)
def test_nothing_is_signed_that_no_reader_takes(
    fields: tuple[Kind, int, int, int, bytes, Alarm | None],
) -> None:
    """A fault of ours stops at the gateway, with a trace."""
    with pytest.raises(ValueError, match=r"range|id"):
        envelope.seal_packet(GATEWAY, ALIAS, KID, *fields)


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda b: PACKET[:8] + b))
def test_random_bytes_raise_only_our_error(data: bytes) -> None:
    """The door meets strangers."""
    with pytest.raises(RefusalError):
        envelope.read(data)


@given(st.integers(0, len(PACKET) - 1), st.binary(min_size=1, max_size=4))
def test_a_broken_packet_raises_only_our_error(at: int, noise: bytes) -> None:
    """Any bytes in any place are refused or forged, and nothing else."""
    data = PACKET[:at] + noise + PACKET[at + len(noise) :]
    if data == PACKET:
        return
    with pytest.raises(SealwardError):
        opened(data)
