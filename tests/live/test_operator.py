"""An operator runs a site by hand: own broker, own PostgreSQL, the commands alone."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sealward.records.postgres import Server

NATS = Path(sys.executable).with_name("nats-server")


def free() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as looking:
        looking.bind(("127.0.0.1", 0))
        port: int = looking.getsockname()[1]
        return port


class Operator:
    """Somebody at a shell, in the site's folder."""

    def __init__(self, root: Path, database: str) -> None:
        self.root = root
        self._environment = {
            "PATH": os.defpath,
            "DATABASE_URL": database,
            "SEALWARD_CONFIG": str(root / "sealward.toml"),
        }

    def run(self, *words: str) -> str:
        """Run ``sealward`` with *words*, which must go well; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "sealward", *words],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def process(self, *words: str) -> Iterator[None]:
        """Run ``sealward`` with *words* meanwhile; it must end well when told to."""
        process = subprocess.Popen(
            [sys.executable, "-m", "sealward", *words],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
            assert process.poll() is None, words
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, words


@contextmanager
def broker(folder: Path) -> Iterator[None]:
    """Run the broker from the folder that the installation made, as it is there."""
    process = subprocess.Popen(
        [NATS, "-c", "broker.conf"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    """Return an operator with a database and a new site."""
    tmp_path.chmod(0o755)
    for above in tmp_path.parents[:2]:
        above.chmod(0o755)  # PostgreSQL runs as a user of its own where root starts it
    with Server.start(tmp_path / "postgres") as server:
        site = tmp_path / "site"
        site.mkdir(mode=0o700)
        service, mqtt = free(), free()
        settings = f"""
            [broker]
            service = "tls://localhost:{service}"
            port = {mqtt}
            [custody]
            pack_seconds = 1
            """
        (site / "sealward.toml").write_text(settings, encoding="utf-8")
        made = Operator(site, server.url("owner"))
        made.run("custody", "--install", "--host", "localhost")
        made.run("custody", "--install", "--mpk", made.run("authority", "--install"))
        path = site / "broker-identity/broker.conf"
        text = path.read_text(encoding="utf-8")
        text = text.replace(":4222", f":{service}").replace(":8883", f":{mqtt}")
        path.write_text(text, encoding="utf-8")
        yield made


def test_a_site_runs_by_its_commands_alone(operator: Operator) -> None:
    """What the demo does, an operator can do: no code path is the demo's own."""
    operator.run("migrate")
    assert json.loads(operator.run("migrate", "--json"))["applied"] == []
    registrar = str(operator.root / "registrar/registrar.key")
    with (
        broker(operator.root / "broker-identity"),
        operator.process("custody"),
        operator.process("authority"),
        operator.process("intake"),
    ):
        deadline = time.monotonic() + 20
        while (
            not (operator.root / "authority/desk.sock").exists()
            or not (operator.root / "custody/desk.sock").exists()
        ):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        enrolled = json.loads(
            operator.run("enrol", "patient", "--ward", "icu", "--json")
        )
        operator.run("enrol", "gateway", "--uid", enrolled["uid"])
        operator.run(
            *("enrol", "reader", "--name", "ann", "--registrar", registrar),
            *("--attribute", "role:nurse", "--attribute", "ward:icu"),
        )
        with operator.process("bedside"):
            time.sleep(6)
        found = [json.loads(x) for x in operator.run("read", "--json").splitlines()]
    assert {line["patient"] for line in found} == {enrolled["pseudonym"]}
    assert {line["vital"] for line in found} == {"hr", "spo2", "rr", "tskin"}
