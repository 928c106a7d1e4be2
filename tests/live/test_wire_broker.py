"""The broker is the one that was checked, starts closed and ends with its launcher."""

import hashlib
import logging
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.house import House

from sealward.errors import ConfigError
from sealward.wire import binary as programs
from sealward.wire.binary import Binary, BinaryError, FloorError
from sealward.wire.broker import Broker
from sealward.wire.brokerconfig import Ports

FOUND = programs.find()


def start(house: House, binary: Binary | None = None, **ports: int) -> Broker:
    """Start another broker with what *house* has, but in a folder of its own."""
    return Broker.start(
        house.folder / "other",
        server=house.pki.server,
        service_authority=house.pki.services.path,
        device_authority=house.pki.devices.path,
        users={name: key.public for name, key in house.keys.items()},
        issuer=house.issuer.public,
        ports=Ports(**ports),
        binary=binary,
    )


def script(path: Path, text: str) -> Binary:
    """Return a program of a few lines that has the digest it should have."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Binary(path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Return what a broker needs, without a broker."""
    return House(tmp_path, start=False)


def test_other_bytes_than_agreed_on_do_not_start(house: House) -> None:
    """One bit is enough, and nothing has been executed."""
    data = bytearray(FOUND.path.read_bytes())
    data[-1] ^= 1
    copy = house.folder / "nats-server"
    copy.write_bytes(data)
    copy.chmod(0o755)
    with pytest.raises(BinaryError):
        start(house, Binary(path=copy, sha256=FOUND.sha256))
    trap = script(house.folder / "trap", f"touch {house.folder}/sprung")
    with pytest.raises(BinaryError):
        start(house, Binary(path=trap.path, sha256=FOUND.sha256))
    with pytest.raises(BinaryError):
        start(house, Binary(path=house.folder / "absent", sha256=FOUND.sha256))
    assert not (house.folder / "sprung").exists()


def test_a_binary_swapped_after_the_check_is_not_what_runs(house: House) -> None:
    """What is hashed is what is executed, by descriptor."""
    home = house.folder / "home"
    home.mkdir()
    path = house.folder / "nats-server"
    path.write_bytes(FOUND.path.read_bytes())
    path.chmod(0o755)
    with programs.checked(Binary(path=path, sha256=FOUND.sha256), home) as program:
        script(house.folder / "evil", "echo evil").path.replace(path)
        assert program.version() >= programs.FLOOR


def test_an_old_broker_does_not_start(house: House) -> None:
    """Its parser has faults that strangers can reach."""
    old = script(house.folder / "old", "echo nats-server: v2.15.0")
    with pytest.raises((FloorError, BinaryError)):
        start(house, old)


@pytest.mark.parametrize(
    "version", ["2.15.0", "2.9.10", "2.15", "", "v2.15.1", "2.15.1-x"]
)
def test_a_version_below_the_floor_is_no_version(version: str) -> None:
    """Numbers are compared as numbers."""
    with pytest.raises(FloorError):
        programs.at_least(version)


@pytest.mark.parametrize("version", ["2.15.1", "2.100.0", "10.0.0", "2.15.1+build.3"])
def test_a_version_above_the_floor_is_good(version: str) -> None:
    """2.100 is newer than 2.15."""
    assert programs.at_least(version) >= programs.FLOOR


def test_the_recorded_digest_is_of_this_platform() -> None:
    """No row, no start."""
    assert FOUND.path.is_file()
    assert hashlib.sha256(FOUND.path.read_bytes()).hexdigest() == FOUND.sha256
    rows = Path(programs.__file__).with_name("broker.hashes").read_text()
    assert f"{platform.system()}-{platform.machine()}".lower() in rows


def test_it_runs_closed(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Not as root, in a folder nobody enters, without our environment."""
    caplog.set_level(logging.WARNING)
    house.folder.chmod(0o700)
    os.environ["GODEBUG"] = "fips140=on"  # noqa: TID251 - that it is not inherited
    try:
        broker = start(house)
    finally:
        del os.environ["GODEBUG"]  # noqa: TID251
    try:
        process = Path(f"/proc/{broker.pid}")
        assert process.joinpath("environ").read_bytes() == b""
        assert process.stat().st_uid != 0
        assert os.getpgid(broker.pid) == broker.pid
        folder = house.folder / "other"
        for path in (folder, *folder.rglob("*")):
            assert path.stat().st_mode & 0o077 == 0, path
        assert (folder / "home").stat().st_uid == process.stat().st_uid
        if os.geteuid() == 0:
            assert "user=nobody" in caplog.text
    finally:
        broker.stop()
        broker.stop()
    assert not broker.alive()


def test_one_folder_has_one_broker(house: House) -> None:
    """And the same ports after a crash; a second launcher is refused meanwhile."""
    first = start(house)
    with pytest.raises(ConfigError, match="already"):
        start(house)
    os.kill(first.pid, signal.SIGKILL)
    first.stop()
    second = start(house, service=first.ports.service, mqtt=first.ports.mqtt)
    assert second.ports == first.ports
    second.stop()


LAUNCHER = """
import sys, time
from pathlib import Path
from tests.support.house import House
house = House(Path(sys.argv[1]))
print(house.broker.pid, house.broker.ports.service, house.broker.ports.mqtt, flush=True)
time.sleep(60)
"""


def test_a_broker_whose_launcher_died_is_replaced(house: House) -> None:
    """It would hold the ports and the stream, and nobody would count its refusals."""
    folder = house.folder / "left"
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(folder)],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join([*sys.path, str(Path.cwd())])},
    ) as launcher:
        assert launcher.stdout is not None
        pid, service, mqtt = (int(n) for n in launcher.stdout.readline().split())
        launcher.kill()
    assert Path(f"/proc/{pid}").exists()
    broker = Broker.start(
        folder / "broker",
        server=house.pki.server,
        service_authority=house.pki.services.path,
        device_authority=house.pki.devices.path,
        users={name: key.public for name, key in house.keys.items()},
        issuer=house.issuer.public,
        ports=Ports(service=service, mqtt=mqtt),
    )
    assert broker.pid != pid
    broker.stop()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()


def test_a_port_in_use_is_named(house: House) -> None:
    """The operator reads why it does not start."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="address already in use"):
            start(house, service=taken.getsockname()[1])


def test_fips_mode_and_the_callout_exclude_each_other(house: House) -> None:
    """When a release lifts it, the mode is to be turned on: then change our page."""
    broker = start(house)
    broker.stop()
    home = house.folder / "other/home"
    refused = subprocess.run(
        [FOUND.path, "-c", "broker.conf"],
        cwd=home,
        env={"GODEBUG": "fips140=on"},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert refused.returncode != 0
    assert "cannot be configured in FIPS-140 mode" in refused.stderr


def test_a_missing_service_key_is_named(house: House) -> None:
    """A broker without one of its services would fail late."""
    del house.keys["ward"]
    with pytest.raises(ConfigError, match="ward"):
        start(house)
