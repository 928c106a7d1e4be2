"""The broker's configuration and its log say what they should."""

import os
from pathlib import Path

import pytest

from sealward.errors import ConfigError
from sealward.wire import brokerconfig
from sealward.wire.brokerconfig import SERVICES, Ports, Settings
from sealward.wire.brokerlog import Log, reason

USERS = {name: f"U{name}" for name in SERVICES}


def settings(users: dict[str, str]) -> Settings:
    """Return settings with *users*."""
    return Settings(
        name="n1",
        ports=Ports(service=4222, mqtt=8883),
        host="0.0.0.0",  # noqa: S104 - gateways come from outside
        users=users,
        issuer="AISSUER",
        max_store_bytes=1000,
    )


def test_services_stay_on_loopback_and_all_shake_hands() -> None:
    """There is no monitoring port, no password and no listener without a client CA."""
    text = brokerconfig.write(settings(USERS))
    assert 'listen: "127.0.0.1:4222"' in text
    assert 'listen: "0.0.0.0:8883"' in text
    assert text.count("verify: true") == text.count('min_version: "1.3"') == 2
    assert "handshake_first: true" in text
    assert "http" not in text
    assert "password" not in text
    for user in USERS.values():
        assert text.count(f'"{user}"') == 2, "once as a user, once past the callout"


def test_every_service_has_a_key() -> None:
    """A mistyped name is found before the broker starts."""
    with pytest.raises(ConfigError, match="intake"):
        brokerconfig.write(settings({k: v for k, v in USERS.items() if k != "intake"}))
    with pytest.raises(ConfigError, match="intek"):
        brokerconfig.write(settings({**USERS, "intek": "U"}))


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (
            "[ERR] TLS handshake error: tls: client didn't provide a certificate",
            "certificate",
        ),
        (
            "[ERR] TLS handshake error: tls: only unsupported versions",
            "tls",
        ),
        ('[ERR] x - Publish Violation - Subject "coc.b"', "trespass"),
        ("[ERR] x - maximum payload exceeded: 70025 vs 65536", "oversize"),
        ("[ERR] x - QoS=2 is disabled for PUBLISH messages", "qos"),
        ("[ERR] x - unable to connect: authentication error", "auth"),
        ("[ERR] x - unacceptable protocol version of 5", "malformed"),
        ("[INF] x - TLS handshake error: nobody says this", None),
        ("[ERR] x - authentication error", None),
        ("[WRN] Readloop processing time: 5.0s", None),
    ],
)
def test_a_refusal_is_counted_by_its_word(line: str, word: str | None) -> None:
    """Once for each, though the broker may say it thrice."""
    assert reason(line.encode()) == word


def test_the_log_is_kept_a_week_for_its_owner(tmp_path: Path) -> None:
    """It says which alias came from which address."""
    for day in ("2020-01-01", "2999-01-01"):
        (tmp_path / f"{day}.log").touch()
    read, write = os.pipe()
    log = Log(os.fdopen(read, "rb"), tmp_path)
    os.write(write, b"[INF] Server is ready\n[ERR] - malformed \xff\n" + b"x" * 9000)
    os.close(write)
    log.end()
    assert log.listening
    assert log.ready.is_set()
    assert log.refusals() == {"malformed": 1}
    [today] = set(tmp_path.iterdir()) - {tmp_path / "2999-01-01.log"}
    assert today.stat().st_mode & 0o777 == 0o600
    assert len(today.read_bytes().splitlines()) == 5
