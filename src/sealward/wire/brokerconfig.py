"""Write the broker's configuration: who may say and hear what, and nothing else.

Paths are relative to the broker's own folder, which is its working directory.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sealward.errors import ConfigError

PAYLOAD = 65536  # bytes; the largest packet is 62 KiB
STORE = "store"
FILES = ("server.pem", "server.key", "service-ca.pem", "device-ca.pem")

# What each service may publish and subscribe, by account. ``_INBOX.>`` is where
# its own answers arrive.
_SERVICES: Mapping[str, tuple[str, Mapping[str, Sequence[str]]]] = {
    "sys": (
        "SYS",
        {
            "publish": ["$SYS.REQ.SERVER.>", "$SYS.REQ.ACCOUNT.>"],
            "subscribe": ["_INBOX.>"],
        },
    ),
    "auth": (
        "AUTH",
        {
            "publish": ["$SYS._INBOX.>", "_INBOX.>"],
            "subscribe": ["$SYS.REQ.USER.AUTH"],
        },
    ),
    "prov": (
        "IOT",
        {
            "publish": [
                "$JS.API.STREAM.*.TELEMETRY",
                "$JS.API.CONSUMER.*.TELEMETRY.>",
                "$JS.API.CONSUMER.DURABLE.CREATE.TELEMETRY.*",
            ],
            "subscribe": ["_INBOX.>"],
        },
    ),
    "intake": (
        "IOT",
        {
            "publish": [
                "$JS.API.CONSUMER.MSG.NEXT.TELEMETRY.*",
                "$JS.API.CONSUMER.INFO.TELEMETRY.*",
                "$JS.API.STREAM.INFO.TELEMETRY",
                "$JS.ACK.TELEMETRY.>",
                "cmd.*.receipt",
                "cmd.*.resend",
                "live.*",
            ],
            "subscribe": ["_INBOX.>"],
        },
    ),
    "analyst": ("IOT", {"subscribe": ["live.*", "_INBOX.>"]}),
    "ward": (
        "IOT",
        {"publish": ["cmd.*.>"], "subscribe": ["coc.*", "live.*", "_INBOX.>"]},
    ),
}
SERVICES = tuple(_SERVICES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the broker listens; 0 takes a free one."""

    service: int = 0
    mqtt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What differs from one deployment's broker to the next."""

    name: str
    ports: Ports
    host: str  # where gateways connect; services always use loopback
    users: Mapping[str, str]  # service to public nkey, ``U…``
    issuer: str  # public nkey of the account that signs admissions, ``A…``
    max_store_bytes: int


def write(settings: Settings) -> str:
    """Return the configuration file's text.

    Services shake hands before the broker says a word: a client that waits for its
    greeting could be told, by whoever stands between, that TLS is not needed.

    Raises:
        ConfigError: a service has no key, or there is a key for no known service.
    """
    if odd := set(settings.users) ^ set(SERVICES):
        raise ConfigError(f"one key for each of {SERVICES}; check {sorted(odd)}")
    return _TEMPLATE % {
        "name": json.dumps(settings.name),
        "service": settings.ports.service,
        "mqtt": json.dumps(f"{settings.host}:{settings.ports.mqtt}"),
        "payload": PAYLOAD,
        "store": json.dumps(STORE),
        "disk": settings.max_store_bytes,
        "service_tls": _tls("service-ca.pem"),
        "device_tls": _tls("device-ca.pem"),
        "SYS": _users(settings, "SYS"),
        "AUTH": _users(settings, "AUTH"),
        "IOT": _users(settings, "IOT"),
        "issuer": json.dumps(settings.issuer),
        "auth_users": json.dumps(sorted(settings.users.values())),
    }


_TEMPLATE = """\
server_name: %(name)s
listen: "127.0.0.1:%(service)d"
max_payload: %(payload)d
max_control_line: 1024
write_deadline: "5s"
tls { %(service_tls)s, handshake_first: true }
jetstream {
  store_dir: %(store)s
  max_memory_store: 64MB
  max_file_store: %(disk)d
  sync_interval: "1s"
}
accounts {
  SYS { users: [ %(SYS)s ] }
  AUTH { users: [ %(AUTH)s ] }
  IOT { jetstream: enabled, users: [ %(IOT)s ] }
}
system_account: SYS
authorization {
  timeout: 5
  auth_callout { issuer: %(issuer)s, account: AUTH, auth_users: %(auth_users)s }
}
mqtt {
  listen: %(mqtt)s
  ack_wait: "30s"
  max_ack_pending: 1000
  reject_qos2_publish: true
  tls { %(device_tls)s }
}
"""


def _tls(authority: str) -> str:
    return (
        f'cert_file: "server.pem", key_file: "server.key", ca_file: "{authority}", '
        'verify: true, min_version: "1.3", '
        "curve_preferences: [CurveP256, CurveP384], timeout: 2"
    )


def _users(settings: Settings, account: str) -> str:
    """Return the users of *account* as the configuration lists them."""
    users = []
    for service, (home, may) in _SERVICES.items():
        if home == account:
            key = json.dumps(settings.users[service])
            publish = json.dumps(may["publish"]) if "publish" in may else _NOTHING
            subscribe = json.dumps(may["subscribe"])
            users.append(
                f"{{nkey: {key}, permissions: "
                f"{{publish: {publish}, subscribe: {subscribe}}}}}"
            )
    return ", ".join(users)


_NOTHING = '{deny: [">"]}'
