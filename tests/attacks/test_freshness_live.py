"""Through the real broker: each hostile packet has its word, its row and its count."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.device import enrolled, run
from tests.support.hostile import (
    Line,
    Says,
    Told,
    counted,
    digests,
    flush,
    refused,
    stored,
)
from tests.support.site import Ward, until, ward

from sealward.bedside.credential import Credential
from sealward.seal.receipt import Code, Receipt


@pytest.fixture(scope="module")
def site() -> Iterator[Ward]:
    """Return a site without gateways."""
    with ward() as made:
        until((made.site.root / "intake/metrics.prom").exists)
        yield made


@pytest.fixture
def device(site: Ward, tmp_path: Path) -> Credential:
    """Return a credential in an attacker's hands, of this test alone."""
    return enrolled(site, tmp_path / "device")


@pytest.fixture
def other(site: Ward, tmp_path: Path) -> Credential:
    """Return another gateway's credential."""
    return enrolled(site, tmp_path / "other")


def test_a_replayed_day_is_stored_once(site: Ward, device: Credential) -> None:
    """At once, and from a backup after intake has started anew: it only counts."""
    day = [Says(device=device, seq=seq).packet() for seq in range(200)]

    async def send(packets: list[bytes], kept: list[bytes], counts: int) -> Told:
        async with Line(site, device) as line:
            line.say(packets)
            await line.until(lambda: stored(site, device) == digests(kept))
            await line.until(lambda: counted(site, "replayed") == counts)
            await line.until(lambda: any(type(m) is Receipt for m in line.told()))
            return line.refusals()

    before = counted(site, "replayed")
    assert run(send(day * 2, day, before + 200)) == set()
    flush(site)
    assert refused(site, device) == {"replayed": 200}
    more = [*day, Says(device=device, seq=200).packet()]
    assert run(send([*day, *more], more, 400)) == set()
    flush(site)
    assert refused(site, device) == {"replayed": 600}
    rows = site.rows(
        "select count(*), count(distinct seq) from store.packet"
        " join registry.credential using (cred) where alias = %s",
        device.alias,
    )
    assert rows == [(201, 201)]


def test_other_bytes_under_a_number_are_a_conflict(
    site: Ward, device: Credential
) -> None:
    """The first bytes stay, also where only the database remembers the number."""
    first = [Says(device=device, seq=seq).packet() for seq in (5, 9)]
    twin = Says(device=device, seq=5, body=bytes(41)).packet()
    more = [*first, Says(device=device, seq=6).packet()]

    async def send(packets: list[bytes], kept: list[bytes], told: Told) -> None:
        async with Line(site, device) as line:
            line.say(packets)
            await line.until(lambda: stored(site, device) == digests(kept))
            await line.until(lambda: line.refusals() == told)

    run(send(first, first, set()))
    flush(site)  # 5 lies beyond a hole: intake's memory has lost it
    run(send([twin, more[-1]], more, {(Code.CONFLICT, 5)}))
    flush(site)
    assert refused(site, device) == {"conflicting": 1}
    assert stored(site, device) == digests(more)
