"""Availability: one gateway's flood and the server's absence cost others nothing."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import mqtt_client
from tests.support.device import dial, enrolled, run, signed
from tests.support.sender import EPOCH, NOON, Sender
from tests.support.site import Ward, until, ward

from sealward.seal.envelope import Kind
from sealward.wire.spool import FullError, Spool
from sealward.wire.topics import Alias


@pytest.fixture(scope="module")
def site() -> Iterator[Ward]:
    """Return a site with one honest gateway and a reader."""
    with ward() as made:
        (patient,) = made.enrol(1)
        made.gateway("gateway-1", patient.gateway)
        made.watch("reader", made.reader("nurse", "role:nurse", "ward:icu"))
        until(lambda: len(made.read["reader"].names("opened", "vitals")) >= 2)
        yield made


def test_a_flood_on_one_alias_does_not_silence_another(
    site: Ward, tmp_path: Path
) -> None:
    """While one device sends thousands, the neighbour's packets are still opened."""
    device = enrolled(site, tmp_path)
    read = site.read["reader"]
    topic = f"telemetry/{device.alias}/vitals"
    packets = [signed(device, seq) for seq in range(2000)]

    async def flood() -> None:
        client = await dial(site, device)
        before = len(read.names("opened", "vitals"))
        for number, packet in enumerate(packets):
            client.send(mqtt_client.publish(topic, packet, number + 1))
            if number % 100 == 0:
                await asyncio.sleep(0.05)
        honest = site.sealed["gateway-1"]
        await asyncio.to_thread(
            until, lambda: len(read.names("opened", "vitals")) >= before + 3, 10
        )
        assert honest.lines
        client.close()

    run(flood())


def test_readings_outlive_a_server_that_is_away(site: Ward) -> None:
    """Intake stopped: the gateway goes on sealing, and all of it arrives afterwards."""
    read, sealed = site.read["reader"], site.sealed["gateway-1"]
    site.site.launcher.stop(["intake"])
    before = len(sealed.names("sealed", "vitals"))
    time.sleep(4)
    assert len(sealed.names("sealed", "vitals")) >= before + 3
    site.site.launcher.restart("intake")
    wanted = sealed.names("sealed", "vitals")
    until(lambda: wanted <= read.names("opened", "vitals"))


def test_a_full_spool_refuses_readings_and_keeps_what_it_has(tmp_path: Path) -> None:
    """At its cap a spool gives up vitals before key records, and nothing in silence."""
    honest = Sender()
    alias = Alias(honest.alias)
    with Spool(tmp_path / "spool.db", cap=20_000) as spool:
        spool.open_credential(alias, EPOCH)
        body = bytes(4000)
        spool.put(
            alias, EPOCH, 6, lambda seq: honest.packet(seq, kind=Kind.KEY), at_ms=NOON
        )
        rows = spool.window(alias, NOON)
        spool.sent(rows, NOON)
        kept = 0

        def fill() -> None:
            nonlocal kept
            for _ in range(10):
                spool.put(
                    alias,
                    EPOCH,
                    Kind.VITALS,
                    lambda seq: honest.packet(seq, body=body),
                    at_ms=NOON,
                )
                kept += 1
                spool.sent(spool.window(alias, NOON), NOON)

        with pytest.raises(FullError):
            fill()
        assert kept >= 3
        assert spool.states()["sent"] + spool.states()["spooled"] == kept + 1


def test_a_full_spool_costs_readings_not_the_gateway(site: Ward) -> None:
    """With no room at all a gateway counts what it loses, by name, and lives on."""
    (patient,) = site.enrol(1)
    config = site.site.config
    honest = config.read_text(encoding="utf-8")
    assert "spool_mib = 1024" in honest
    try:
        config.write_text(honest.replace("spool_mib = 1024", "spool_mib = 0"))
        site.gateway("gateway-full", patient.gateway)
        folder = str(patient.gateway.relative_to(site.site.root))
        until(lambda: "gateway-full" in site.site.pids())
        pid = site.site.pids()["gateway-full"]
        until(lambda: 'reason="full"' in metrics(site, folder))
    finally:
        config.write_text(honest)
    time.sleep(2)
    site.site.tend()
    assert site.site.pids()["gateway-full"] == pid
    assert not site.sealed["gateway-full"].names("sealed", "vitals")
    site.site.launcher.stop(["gateway-full"])


def metrics(site: Ward, folder: str) -> str:
    """Return what the gateway in *folder* has counted."""
    path = site.site.root / folder / "metrics.prom"
    return path.read_text(encoding="utf-8") if path.exists() else ""
