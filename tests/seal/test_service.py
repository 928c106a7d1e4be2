"""Receipts, certificates, slips and registrars' orders: who signed what, for whom."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from sealward.errors import RefusalError, SealwardError
from sealward.seal import cbor, grantorder, policy, receipt, signing, slip
from sealward.seal.cbor import MalformedError
from sealward.seal.policy import PolicyError, PolicyLimitError
from sealward.seal.receipt import (
    Code,
    Receipt,
    ReceiptError,
    Refusal,
    Resend,
    ServiceCertificate,
)
from sealward.seal.signing import AlgorithmError, ForgedError, UnsignedError
from sealward.seal.slip import CommandError, Slip

V = json.loads(
    (Path(__file__).parents[1] / "vectors/packet/packet.json").read_text("utf-8")
)
ALIAS, EPOCH, MS = V["alias"], V["epoch"], 1795444200000
HEAD = bytes.fromhex(V["receipt"]["bytes"])[:15]
SINCE = 1795392000
NOON = SINCE + 12 * 3600


def private(name: str) -> ec.EllipticCurvePrivateKey:
    """Return the vectors' key of *name*."""
    return ec.derive_private_key(int(V[f"{name}_private"], 16), ec.SECP256R1())


CUSTODY, KEY, STRANGER = private("custody"), private("receipt"), private("gateway")
CERTIFICATE = ServiceCertificate(
    role="receipt",
    partition=3,
    spki=signing.spki(KEY.public_key()),
    since=SINCE,
    until=SINCE + 86400,
)
MESSAGES: dict[str, receipt.Message] = {
    "receipt": Receipt(
        epoch=EPOCH,
        upto=5,
        ranges=((7, 9),),
        server_ms=MS,
        last=bytes.fromhex(V["receipt"]["last"]),
    ),
    "refusal": Refusal(epoch=EPOCH, seq=6, code=Code.TIME, server_ms=MS),
    "resend": Resend(epoch=EPOCH, first=2, last=4, server_ms=MS),
}
SLIP = Slip(
    id=bytes(16),
    expires=SINCE + 86400,
    epoch=EPOCH,
    policy_number=7,
    live="role:clinician and ward:icu",
    trend="role:clinician",
    pseudonym="7g4m2qk9x0tb",
    partition=3,
    certificates=(CERTIFICATE.sign(CUSTODY),),
    pack_seconds=60,
)


def verified(data: bytes, **other: Any) -> receipt.Message | None:  # noqa: ANN401
    """Return what an honest gateway takes *data* for."""
    known: Any = {"alias": ALIAS, "certificates": [CERTIFICATE], "partition": 3}
    return receipt.verify(data, now=other.pop("now", NOON), **{**known, **other})


@pytest.mark.parametrize("which", list(MESSAGES))
def test_a_service_message_is_reproduced_byte_for_byte(which: str) -> None:
    """The intake's bytes are the vectors', and come back as what they were."""
    data = receipt.sign(KEY, ALIAS, MESSAGES[which])
    assert data.hex() == V[which]["bytes"]
    assert verified(data) == MESSAGES[which]


def test_a_certificate_is_reproduced_byte_for_byte() -> None:
    """Custody's certificate is the vectors', and names its key."""
    data = CERTIFICATE.sign(CUSTODY)
    assert data.hex() == V["receipt_certificate"]["bytes"]
    assert ServiceCertificate.verify(CUSTODY.public_key(), data) == CERTIFICATE
    assert CERTIFICATE.kid == signing.kid_of(KEY.public_key())


def test_an_unknown_key_is_ignored() -> None:
    """It may be today's, whose certificate the next slip brings."""
    data = receipt.sign(STRANGER, ALIAS, MESSAGES["receipt"])
    assert verified(data) is None
    assert verified(data, certificates=[]) is None


def test_a_receipt_is_not_anothers() -> None:
    """Another alias, a forged byte, another partition, another day: refused."""
    data = receipt.sign(KEY, ALIAS, MESSAGES["receipt"])
    with pytest.raises(ForgedError):
        verified(data, alias=ALIAS[::-1])
    with pytest.raises(ForgedError):
        verified(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ReceiptError):
        verified(data, partition=2)
    for now in (SINCE - 1, SINCE + 86400):
        with pytest.raises(ReceiptError):
            verified(data, now=now)
    relay = ServiceCertificate(
        role="relay",
        partition=3,
        spki=CERTIFICATE.spki,
        since=SINCE,
        until=SINCE + 86400,
    )
    with pytest.raises(ReceiptError):
        verified(data, certificates=[relay])


def test_a_service_key_lives_a_day() -> None:
    """A stolen key speaks for an eighth of the fleet for a day, and no longer."""
    fields: Any = {"role": "receipt", "partition": 0, "spki": CERTIFICATE.spki}
    for until in (SINCE, SINCE + 86401):
        long = ServiceCertificate(**fields, since=SINCE, until=until)
        with pytest.raises(ReceiptError):
            long.sign(CUSTODY)
        payload = cbor.encode([1, "receipt", 0, CERTIFICATE.spki, SINCE, until])
        kid = signing.kid_of(CUSTODY.public_key())
        forged = signing.sign1(
            CUSTODY, kid, payload, cbor.encode(["smqtt/1 service key"])
        )
        with pytest.raises(ReceiptError):
            ServiceCertificate.verify(CUSTODY.public_key(), forged)
    with pytest.raises(ForgedError):
        ServiceCertificate.verify(CUSTODY.public_key(), CERTIFICATE.sign(STRANGER))


@pytest.mark.parametrize(
    "payload",
    [
        [1, EPOCH, 5, [[5, 9]], MS, 0, bytes(32)],
        [1, EPOCH, 5, [[9, 7]], MS, 0, bytes(32)],
        [1, EPOCH, 5, [[7, 9], [9, 11]], MS, 0, bytes(32)],
        [1, EPOCH, 5, [[i, i] for i in range(7, 80, 2)], MS, 0, bytes(32)],
        [1, EPOCH, 5, [], MS, 0, b""],
        [1, EPOCH, 0, [], MS, 0, bytes(32)],
        [1, EPOCH, 5, [], MS, 0],
        [2, EPOCH, 6, 9, MS],
        [2, EPOCH, 6, 0, MS],
        [3, EPOCH, 4, 2, MS],
        [4, EPOCH, 4, 2, MS],
        [True, EPOCH, 2, 4, MS],
        [3, EPOCH, -1, 2, MS],
        {},
    ],
)
def test_a_signed_message_still_has_one_form(payload: object) -> None:
    """A partition's key may be stolen; what it signs must still make sense."""
    kid = signing.kid_of(KEY.public_key())
    aad = cbor.encode(["smqtt/1 receipt", ALIAS])
    with pytest.raises(MalformedError):
        verified(signing.sign1(KEY, kid, cbor.encode(payload), aad))


def test_time_heals_two_refusals_and_no_other() -> None:
    """A packet outside the window stays in the spool; the others do not."""
    assert {Code.EPOCH, Code.TIME} == receipt.RETRY
    assert sorted(Code) == list(range(1, 9))


def test_a_slip_comes_back() -> None:
    """What custody signs is what the gateway reads."""
    data = slip.sign(CUSTODY, ALIAS, SLIP)
    found = slip.verify(CUSTODY.public_key(), ALIAS, data, now=NOON, least=7)
    assert found == SLIP


def test_a_slip_is_custodys_for_one_alias_and_never_older() -> None:
    """Wrong signer, other alias, expired, lower policy number: refused by name."""
    data, public = slip.sign(CUSTODY, ALIAS, SLIP), CUSTODY.public_key()
    with pytest.raises(ForgedError):
        slip.verify(KEY.public_key(), ALIAS, data, now=NOON)
    with pytest.raises(ForgedError):
        slip.verify(public, ALIAS[::-1], data, now=NOON)
    with pytest.raises(CommandError):
        slip.verify(public, ALIAS, data, now=SLIP.expires)
    with pytest.raises(CommandError):
        slip.verify(public, ALIAS, data, now=NOON, least=8)


def test_a_slip_for_no_policy_is_neither_signed_nor_taken() -> None:
    """A policy that cannot be sealed under would silence the gateway."""
    wide = " or ".join(f"a:{i}" for i in range(62))
    for text, error in (("role:", PolicyError), (wide, PolicyLimitError)):
        bad = Slip(
            **{name: getattr(SLIP, name) for name in SLIP.__slots__} | {"live": text}
        )
        with pytest.raises(error):
            slip.sign(CUSTODY, ALIAS, bad)
        kid = signing.kid_of(CUSTODY.public_key())
        aad = cbor.encode(["smqtt/1 slip", ALIAS])
        data = signing.sign1(CUSTODY, kid, bad.encode(), aad)
        with pytest.raises(error):
            slip.verify(CUSTODY.public_key(), ALIAS, data, now=NOON)


def test_a_sealed_policy_says_when() -> None:
    """The gateway adds the day, its month and its year, whatever the policy is."""
    text = slip.with_time("a:1 or b:2", EPOCH)
    assert text == (
        "(a:1 or b:2) and (t.day:2026-11-23 or t.month:2026-11 or t.year:2026)"
    )
    tree = slip.lint("a:1 or b:2", EPOCH)
    assert policy.satisfied(tree, {"b:2", "t.month:2026-11"})
    assert not policy.satisfied(tree, {"a:1", "b:2"})
    with pytest.raises(PolicyError):
        slip.lint("a:1) or (b:2", EPOCH)


def test_a_registrars_order_covers_all_it_says() -> None:
    """Person, attributes, key and number are signed; the order of words is not."""
    spki = CERTIFICATE.spki
    signature = grantorder.sign(STRANGER, "p", ["b:2", "a:1"], spki, 4)
    public = STRANGER.public_key()
    grantorder.verify(public, "p", ["a:1", "b:2", "a:1"], spki, 4, signature)
    plain = sha256(cbor.encode(["p", ["a:1", "b:2"], spki, 4])).digest()
    assert grantorder.digest("p", ["b:2", "a:1"], spki, 4) == plain
    for order in (
        ("q", ["a:1", "b:2"], spki, 4),
        ("p", ["a:1"], spki, 4),
        ("p", ["a:1", "b:2"], signing.spki(CUSTODY.public_key()), 4),
        ("p", ["a:1", "b:2"], spki, 5),
    ):
        with pytest.raises(ForgedError):
            grantorder.verify(public, *order, signature)
    with pytest.raises(PolicyError):
        grantorder.digest("p", ["a:1 or b:2"], spki, 4)


def test_a_cose_message_of_another_kind_is_named() -> None:
    """The audit tells a missing signature from a foreign algorithm."""
    public, data = CUSTODY.public_key(), signing.sign1(CUSTODY, b"kidd", b"x", b"")
    assert signing.verify1(public, data, b"") == signing.Signed(
        kid=b"kidd", payload=b"x"
    )
    for broken, error in (
        (data[1:], UnsignedError),
        (b"\xd0" + data[1:], UnsignedError),
        (data[:-66] + b"\x40", UnsignedError),
        (data.replace(b"\x01\x26", b"\x01\x27", 1), AlgorithmError),
        (data + b"\0", MalformedError),
        (data[:-1], MalformedError),
    ):
        with pytest.raises(error):
            signing.verify1(public, broken, b"")
    with pytest.raises(ForgedError):
        signing.verify1(public, data, b"other")
    with pytest.raises(ValueError, match="kid"):
        signing.sign1(CUSTODY, b"kid", b"", b"")


def test_a_public_key_has_one_form() -> None:
    """Only P-256, only the 91 bytes that it has."""
    data = CERTIFICATE.spki
    assert signing.spki(signing.from_spki(data)) == data
    other = signing.spki(ec.derive_private_key(5, ec.SECP384R1()).public_key())
    for broken in (b"", data[:-1], data + b"\0", other, data[:-1] + b"\0"):
        with pytest.raises(MalformedError):
            signing.from_spki(broken)


@given(st.binary(max_size=150) | st.binary(max_size=99).map(lambda b: HEAD + b))
def test_random_bytes_are_no_message(data: bytes) -> None:
    """Whatever arrives on a command topic raises only our error."""
    with pytest.raises(RefusalError):
        signing.split1(data)


@given(st.binary(max_size=100))
def test_random_payloads_are_no_message(data: bytes) -> None:
    """Nor does rubbish under a true signature."""
    kid = signing.kid_of(KEY.public_key())
    signed = signing.sign1(KEY, kid, data, cbor.encode(["smqtt/1 receipt", ALIAS]))
    with pytest.raises(SealwardError):
        verified(signed)
