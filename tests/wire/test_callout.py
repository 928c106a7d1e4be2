"""A broker's question is believed when it is signed, ours, fresh and about TLS 1.3."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from tests.support.pki import CLIENT, SERVER, Authority, key

from sealward.wire import callout, nkey
from sealward.wire.callout import (
    CalloutError,
    CipherError,
    ClientIdError,
    ForeignError,
    Grant,
    Request,
    UncertifiedError,
)
from sealward.wire.nkey import NKey
from sealward.wire.topics import Alias

A, B = Alias("a" * 26), Alias("b" * 26)
NOW = datetime(2026, 9, 18, 12, tzinfo=UTC)
BROKER = Ed25519PrivateKey.from_private_bytes(bytes(32))
ID = nkey.encode(nkey.SERVER, BROKER.public_key().public_bytes_raw())
ISSUER = NKey.generate(bytes(32), nkey.ACCOUNT)
USER = NKey.generate(bytes(32)).public
Claims = dict[str, object]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the devices' authority."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def leaf(authority: Authority) -> x509.Certificate:
    """Return the certificate of A's device."""
    return authority.leaf(A, key().public_key())


def claims(leaf: x509.Certificate) -> Claims:
    """Return what an honest broker asks."""
    pem = leaf.public_bytes(Encoding.PEM).decode()
    return {
        "aud": "nats-authorization-request",
        "iss": ID,
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 5,
        "jti": "x",
        "nats": {
            "server_id": {"name": "n1", "host": "127.0.0.1", "id": ID},
            "user_nkey": USER,
            "client_info": {"type": "mqtt", "mqtt_id": A, "id": 7, "host": "::1"},
            "connect_opts": {},
            "client_tls": {
                "version": "1.3",
                "cipher": "TLS_AES_128_GCM_SHA256",
                "verified_chains": [[pem]],
            },
            "type": "authorization_request",
            "version": 2,
        },
    }


def letters(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed(
    claims: Claims, *, alg: str = "ed25519-nkey", by: Ed25519PrivateKey = BROKER
) -> bytes:
    """Sign *claims* as a broker does."""
    head = letters(json.dumps({"typ": "JWT", "alg": alg}).encode())
    text = f"{head}.{letters(json.dumps(claims).encode())}"
    return f"{text}.{letters(by.sign(text.encode()))}".encode()


def nats(claims: Claims) -> dict[str, Any]:
    """Return the middle of *claims*, to change."""
    return cast("dict[str, Any]", claims["nats"])


def test_an_honest_question_is_read(leaf: x509.Certificate) -> None:
    """Whoever decides gets all there is to know."""
    request = callout.read(signed(claims(leaf)), {ID}, NOW)
    assert request == Request(
        server_id=ID,
        user_nkey=USER,
        client_type="mqtt",
        client_id=A,
        cid=7,
        tls_version="1.3",
        tls_cipher="TLS_AES_128_GCM_SHA256",
        leaf=leaf,
        host="::1",
    )
    assert callout.holder(request.leaf, datetime.now(UTC)) == A  # noqa: TID251 - a certificate of today


@pytest.mark.parametrize(
    ("seconds", "in_time"), [(-3, False), (-2, True), (0, True), (5, True), (6, False)]
)
def test_a_question_lives_for_seconds(
    leaf: x509.Certificate, seconds: int, *, in_time: bool
) -> None:
    """A recorded one is worth nothing afterwards."""
    now = NOW + timedelta(seconds=seconds)
    if in_time:
        callout.read(signed(claims(leaf)), {ID}, now)
    else:
        with pytest.raises(CalloutError):
            callout.read(signed(claims(leaf)), {ID}, now)


def test_an_unknown_broker_is_foreign(leaf: x509.Certificate) -> None:
    """Signed well, by a broker that we did not start."""
    with pytest.raises(ForeignError):
        callout.read(signed(claims(leaf)), set(), NOW)


def test_a_signature_counts_to_the_bit(leaf: x509.Certificate) -> None:
    """Of another key, over another claim, or with one bit changed."""
    good = signed(claims(leaf))
    head, payload, signature = good.split(b".")
    raw = base64.urlsafe_b64decode(signature + b"==")
    for bit in range(0, 512, 7):
        bad = bytearray(raw)
        bad[bit // 8] ^= 1 << bit % 8
        text = b".".join([head, payload, letters(bytes(bad)).encode()])
        with pytest.raises(CalloutError):
            callout.read(text, {ID}, NOW)
    other = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    for bad_question in (
        signed(claims(leaf), by=other),
        signed(claims(leaf), alg="none"),
        b".".join([head, payload, b""]),
        b".".join([head, payload]),
        good + b".",
        good[:-1] + b"!",
        b"xkv1" + good,
        b"",
        bytes(100),
        b"x" * 70_000,
    ):
        with pytest.raises(CalloutError):
            callout.read(bad_question, {ID}, NOW)


def change(path: str, value: object) -> Callable[[Claims], None]:
    """Return an edit of a question: *path* with dots becomes *value*."""

    def edit(claims: Claims) -> None:
        *way, last = path.split(".")
        place = claims
        for step in way:
            place = cast("Claims", place[step])
        place[last] = value

    return edit


OTHER = nkey.encode(nkey.SERVER, bytes(32))


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (change("iss", USER), CalloutError),
        (change("iss", OTHER), CalloutError),
        (change("iss", None), CalloutError),
        (change("aud", "IOT"), CalloutError),
        (change("iat", "now"), CalloutError),
        (change("exp", 1.5), CalloutError),
        (change("nats", []), CalloutError),
        (change("nats.server_id.id", OTHER), CalloutError),
        (change("nats.user_nkey", 7), CalloutError),
        (change("nats.client_info.id", None), CalloutError),
        (change("nats.client_info.type", "nats"), UncertifiedError),
        (change("nats.client_tls", None), CalloutError),
        (change("nats.client_tls.version", "1.2"), CipherError),
        (change("nats.client_tls.cipher", "TLS_CHACHA20_POLY1305_SHA256"), CipherError),
        (change("nats.client_tls.verified_chains", None), UncertifiedError),
        (change("nats.client_tls.verified_chains", [[]]), UncertifiedError),
        (change("nats.client_tls.verified_chains", [["x"]]), UncertifiedError),
    ],
)
def test_each_check_has_its_own_word(
    leaf: x509.Certificate, edit: Callable[[Claims], None], error: type[Exception]
) -> None:
    """Signed well, and still refused."""
    asked = claims(leaf)
    edit(asked)
    with pytest.raises(error):
        callout.read(signed(asked), {ID}, NOW)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Whatever is heard is a question or is refused."""
    with pytest.raises(CalloutError):
        callout.read(data, {ID}, NOW)
    with pytest.raises(CalloutError):
        callout.refuse(data, ISSUER, "callout", NOW)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=9), st.lists))
def test_no_claims_break_the_reader(value: object) -> None:
    """Nor does what a broken broker signs."""
    for asked in (value, {"iss": ID, "nats": value}, {"iss": value}):
        with pytest.raises(CalloutError):
            callout.read(signed(cast("Claims", asked)), {ID}, NOW)


def test_a_certificate_names_one_alias(authority: Authority) -> None:
    """Its own, for a client, in its time; the registry says the rest."""
    public = key().public_key()
    now = authority.now
    assert callout.holder(authority.leaf(A, public), now) == A
    for bad in (
        authority.leaf(A, public, names=[B]),
        authority.leaf(A, public, names=[A, B]),
        authority.leaf("A" * 26, public),
        authority.leaf("device-17", public),
        authority.leaf(A, public, usage=SERVER),
        authority.leaf(A, public, usage=CLIENT, names=["127.0.0.1"]),
        authority.certificate,
    ):
        with pytest.raises(UncertifiedError):
            callout.holder(bad, now)
    for late in (timedelta(days=3), -timedelta(hours=2)):
        with pytest.raises(UncertifiedError):
            callout.holder(authority.leaf(A, public, usage=CLIENT), now + late)


def grant(client_id: str = A, profile: str = "gateway", days: float = 2) -> Grant:
    """Return what a decision may say."""
    return Grant(
        alias=A,
        client_id=client_id,
        profile=profile,
        expires=NOW + timedelta(days=days),
    )


def opened(token: bytes | str) -> Claims:
    """Return the claims of what we signed."""
    text = token if isinstance(token, str) else token.decode()
    head, payload, signature = text.split(".")
    assert nkey.is_signed(
        nkey.ACCOUNT,
        ISSUER.public,
        base64.urlsafe_b64decode(signature + "=="),
        f"{head}.{payload}".encode(),
    )
    found: Claims = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return found


def asked(leaf: x509.Certificate, client_id: str = A) -> Request:
    """Return a question of *client_id*."""
    question = claims(leaf)
    nats(question)["client_info"]["mqtt_id"] = client_id
    return callout.read(signed(question), {ID}, NOW)


def test_a_grant_permits_its_own_subjects_alone(leaf: x509.Certificate) -> None:
    """And no longer than the credential, nor a day."""
    answer = opened(callout.answer(asked(leaf), ISSUER, grant(), NOW))
    assert (answer["sub"], answer["aud"]) == (USER, ID)
    user = opened(cast("str", nats(answer)["jwt"]))
    assert (user["sub"], user["aud"], user["name"]) == (USER, "IOT", A)
    assert user["exp"] == int((NOW + timedelta(days=1)).timestamp())
    assert nats(user)["pub"] == {"allow": [f"telemetry.{A}.*", f"coc.{A}"]}
    assert nats(user)["sub"] == {"allow": [f"cmd.{A}", f"cmd.{A}.>", "$MQTT.sub.>"]}
    assert nats(user)["allowed_connection_types"] == ["MQTT"]
    soon = opened(callout.answer(asked(leaf), ISSUER, grant(days=0.5), NOW))
    ends = opened(cast("str", nats(soon)["jwt"]))["exp"]
    assert ends == int((NOW + timedelta(hours=12)).timestamp())


@pytest.mark.parametrize(
    ("claimed", "granted"),
    [
        (A, grant(f"{A}~coc")),
        (B, grant(B)),
        (f"{A}~COC", grant(f"{A}~COC")),
        (f"{A}~coc", grant(f"{A}~coc", "worker")),
        (A, grant(A, "nurse")),
        ("", grant("")),
    ],
)
def test_no_decision_can_grant_a_foreign_client_id(
    leaf: x509.Certificate, claimed: str, granted: Grant
) -> None:
    """Not even a mistaken one: with it the owner would be cut off."""
    with pytest.raises(ClientIdError):
        callout.answer(asked(leaf, claimed), ISSUER, granted, NOW)


def test_a_refusal_says_its_word_and_grants_nothing(leaf: x509.Certificate) -> None:
    """Also of a question that nobody signed."""
    said = opened(callout.answer(asked(leaf), ISSUER, "revoked", NOW))
    assert said["nats"] == {
        "type": "authorization_response",
        "version": 2,
        "error": "revoked",
    }
    unsigned = signed(claims(leaf)) + b"x"
    told = opened(callout.refuse(unsigned, ISSUER, "callout", NOW))
    assert (told["sub"], told["aud"]) == (USER, ID)
    assert nats(told)["error"] == "callout"
