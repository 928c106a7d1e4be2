"""Read the broker's question whether a stranger may connect, and write the answer.

Both are JWTs in NATS' own dialect (nats-io/jwt v2): EdDSA over ``header.payload`` by
an nkey. What a question says is believed only after its signature has been checked.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sealward.errors import RefusalError
from sealward.wire import nkey
from sealward.wire.brokerconfig import PAYLOAD
from sealward.wire.nkey import NKey
from sealward.wire.topics import ALIAS, Alias

LARGEST = 64 * 1024  # bytes of a question; one with two certificates takes 5 KiB
LEADS = timedelta(seconds=2)  # the broker's clock may lead ours by this
LONGEST = timedelta(hours=24)  # of an admission; then the gateway connects anew
_SUITES = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"}  # FIPS 140's
_ALGORITHM = "ed25519-nkey"
_PARTS = 3  # header, payload, signature
_COC = "~coc"


class CalloutError(RefusalError):
    """No question of a broker: malformed, unsigned, out of its time or repeated."""

    reason = "callout"


class ForeignError(RefusalError):
    """The question comes from a broker that is not ours."""

    reason = "foreign"


class CipherError(RefusalError):
    """The connection is no TLS 1.3, or its cipher is not AES-GCM."""

    reason = "cipher"


class UncertifiedError(RefusalError):
    """The stranger shows no certificate of a device."""

    reason = "uncertified"


class ClientIdError(RefusalError):
    """The client id is not the certificate's own: somebody else's, or none."""

    reason = "clientid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who asks to be admitted, as an own broker says."""

    server_id: str  # public nkey of the broker, ``N…``
    user_nkey: str  # what the broker calls this connection, ``U…``, never twice
    client_type: str  # "mqtt"
    client_id: str  # MQTT's, as claimed
    cid: int  # the connection's number at that broker
    tls_version: str  # "1.3"
    tls_cipher: str
    leaf: x509.Certificate  # under the device authority, as TLS has proved
    host: str  # where from


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Who is admitted, as what and until when."""

    alias: Alias
    client_id: str  # the alias itself, or with ``~coc``
    profile: str  # "gateway" or "worker"
    expires: datetime  # of the credential

    def permissions(self) -> tuple[list[str], list[str]]:
        """Return the NATS subjects on which it may publish, and subscribe.

        ``cmd.X`` and ``cmd.X.>`` both, for MQTT's ``cmd/X/#`` names the parent too.

        Raises:
            ClientIdError: the client id is not one of the alias's two.
        """
        alias, own = self.alias, f"cmd.{self.alias}"
        hear = ["$MQTT.sub.>"]
        if not ALIAS.fullmatch(alias) or self.client_id not in {alias, alias + _COC}:
            raise ClientIdError("the client id is not the certificate's")
        if self.client_id == alias + _COC and self.profile == "gateway":
            return [f"coc.{alias}"], [f"{own}.coc-ack", *hear]
        if self.client_id == alias and self.profile == "gateway":
            return [f"telemetry.{alias}.*", f"coc.{alias}"], [own, f"{own}.>", *hear]
        if self.client_id == alias and self.profile == "worker":
            kinds = ("key", "rollup", "bundle", "seal")
            return (
                [f"telemetry.{alias}.{kind}" for kind in kinds],
                [f"{own}.receipt", f"{own}.resend", *hear],
            )
        raise ClientIdError("a worker has no connection of this kind")


def read(data: bytes, known_servers: Collection[str], now: datetime) -> Request:
    """Return the question that *data* is, of a stranger who connects at *now*.

    The checks stand in the order of what they cost and of what they reveal: shape,
    signature, time; whether the broker is among *known_servers*; the connection.

    Raises:
        CalloutError: it is not a broker's question of the last seconds.
        ForeignError: the broker is unknown; it may be a new one, so ask and retry.
        CipherError: the connection is not as it must be.
        UncertifiedError: no MQTT client, or it has shown no certificate.
    """
    claims, issuer = _verified(data)
    nats = _map(claims.get("nats"))
    if _text(_map(nats.get("server_id")).get("id")) != issuer:
        raise CalloutError("signed by another broker than it names")
    if claims.get("aud") != "nats-authorization-request":
        raise CalloutError("meant for somebody else")
    since, until = _number(claims.get("iat")), _number(claims.get("exp"))
    if not since - LEADS.total_seconds() <= now.timestamp() <= until:
        raise CalloutError("out of its time")
    if issuer not in known_servers:
        raise ForeignError("an unknown broker asks")
    return _connection(nats, issuer)


def _verified(data: bytes) -> tuple[Mapping[str, object], str]:
    """Return the claims of *data*, and who signed them."""
    claims, signed, signature = _parsed(data)
    issuer = _text(claims.get("iss"))
    try:
        if nkey.is_signed(nkey.SERVER, issuer, signature, signed):
            return claims, issuer
    except ValueError as error:
        raise CalloutError("not a question of a broker") from error
    raise CalloutError("not signed by the broker that it names")


def _parsed(data: bytes) -> tuple[Mapping[str, object], bytes, bytes]:
    """Return what *data* claims, the bytes that are signed and their signature."""
    if len(data) > LARGEST:
        raise CalloutError("too large")
    try:
        head, payload, signature = data.decode("ascii").split(".", _PARTS)
        if _map(json.loads(_unlettered(head))).get("alg") != _ALGORITHM:
            raise CalloutError("signed by no nkey")
        claims = _map(json.loads(_unlettered(payload)))
        return claims, f"{head}.{payload}".encode("ascii"), _unlettered(signature)
    except (ValueError, RecursionError) as error:
        raise CalloutError("not a question of a broker") from error


def _connection(nats: Mapping[str, object], server_id: str) -> Request:
    client, secured = _map(nats.get("client_info")), _map(nats.get("client_tls"))
    if client.get("type") != "mqtt":
        raise UncertifiedError("no gateway")
    version, cipher = _text(secured.get("version")), _text(secured.get("cipher"))
    if version != "1.3" or cipher not in _SUITES:
        raise CipherError("TLS 1.3 with AES-GCM is the least")
    return Request(
        server_id=server_id,
        user_nkey=_text(nats.get("user_nkey")),
        client_type="mqtt",
        client_id=_text(client.get("mqtt_id") or ""),
        cid=_number(client.get("id")),
        tls_version=version,
        tls_cipher=cipher,
        leaf=_leaf(secured.get("verified_chains")),
        host=_text(client.get("host") or ""),
    )


def _leaf(chains: object) -> x509.Certificate:
    match chains:
        case [[str(pem), *_], *_]:
            try:
                return x509.load_pem_x509_certificate(pem.encode())
            except ValueError as error:
                raise UncertifiedError("no certificate can be read") from error
        case _:
            raise UncertifiedError("no certificate")


def holder(leaf: x509.Certificate, now: datetime) -> Alias:
    """Return the alias that *leaf* certifies at *now*, by itself alone.

    Whether it is registered, bound and not revoked is the registry's to say.

    Raises:
        UncertifiedError: it is out of its time, no client's, or names no alias or two.
    """
    names = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        others = leaf.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise UncertifiedError("no device's certificate") from error
    alias = str(names[0].value) if len(names) == 1 else ""
    if not ALIAS.fullmatch(alias) or list(others) != [x509.DNSName(alias)]:
        raise UncertifiedError("no alias, or more than one")
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise UncertifiedError("no client's certificate")
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise UncertifiedError("out of its time")
    return Alias(alias)


def answer(
    request: Request, issuer: NKey, verdict: Grant | str, now: datetime
) -> bytes:
    """Return what to tell the broker: *verdict*, a grant, or a refusal's reason.

    *issuer* is the account's key that the broker's configuration names.

    Raises:
        ClientIdError: the grant is for another client id than was asked for.
    """
    nats: dict[str, object] = {"type": "authorization_response", "version": 2}
    if isinstance(verdict, str):
        nats["error"] = verdict
    else:
        if verdict.client_id != request.client_id:
            raise ClientIdError("the client id is not the certificate's")
        nats["jwt"] = _user(request, issuer, verdict, now)
    claims = {"sub": request.user_nkey, "aud": request.server_id, "nats": nats}
    return _signed(claims, issuer, now).encode("ascii")


def refuse(data: bytes, issuer: NKey, reason: str, now: datetime) -> bytes:
    """Return the refusal of *data*, a question of which nothing was believed.

    Without one the stranger would wait for the broker's time-out, and hold its place.

    Raises:
        CalloutError: it does not say whom to refuse.
    """
    nats = _map(_parsed(data)[0].get("nats"))
    claims = {
        "sub": _text(nats.get("user_nkey")),
        "aud": _text(_map(nats.get("server_id")).get("id")),
        "nats": {"type": "authorization_response", "version": 2, "error": reason},
    }
    return _signed(claims, issuer, now).encode("ascii")


def _user(request: Request, issuer: NKey, grant: Grant, now: datetime) -> str:
    publish, subscribe = grant.permissions()
    claims = {
        "sub": request.user_nkey,
        "aud": "IOT",
        "name": grant.client_id,
        "exp": int(min(now + LONGEST, grant.expires).timestamp()),
        "nats": {
            "type": "user",
            "version": 2,
            "subs": 16,
            "data": -1,
            "payload": PAYLOAD,
            "allowed_connection_types": ["MQTT"],
            "pub": {"allow": publish},
            "sub": {"allow": subscribe},
        },
    }
    return _signed(claims, issuer, now)


def _signed(claims: Mapping[str, object], issuer: NKey, now: datetime) -> str:
    whole = {**claims, "iss": issuer.public, "iat": int(now.timestamp())}
    digest = hashlib.sha256(json.dumps(whole).encode()).digest()
    whole["jti"] = base64.b32encode(digest).decode("ascii").rstrip("=")
    head = _lettered(json.dumps({"typ": "JWT", "alg": _ALGORITHM}).encode())
    text = f"{head}.{_lettered(json.dumps(whole).encode())}"
    return f"{text}.{_lettered(issuer.sign(text.encode('ascii')))}"


def _lettered(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _unlettered(text: str) -> bytes:
    if not re.fullmatch("[A-Za-z0-9_-]*", text):  # b64decode drops what it knows not
        raise ValueError("not base64url")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise ValueError("not base64url") from None


def _map(value: object) -> Mapping[str, object]:
    if isinstance(value, dict):
        return value
    raise CalloutError("an object is missing")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise CalloutError("a text is missing")


def _number(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise CalloutError("a number is missing")
