"""Run a site for SOAK seconds: nothing is lost, and memory does not grow on."""

import os
import time
from itertools import count
from pathlib import Path

from tests.support import ledger
from tests.support.site import Ward, until, ward

SECONDS = int(os.environ.get("SOAK", "600"))
BEDS = 16
EVERY = 10.0  # seconds between looks
LONGEST = 60  # seconds for the rest to arrive at the end
GROWTH = 1.25  # of the last quarter's memory over the second's, at most
HOUR = 3600.0  # seconds


def memory(pid: int, field: str) -> int:
    """Return what *field* of *pid*'s status says, KiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (each for each in status.splitlines() if each.startswith(f"{field}:"))
    return int(line.split()[1])


def sizes(site: Ward) -> dict[str, int]:
    """Return how much memory each process takes, KiB.

    Of PostgreSQL and its children it is what each has for itself.
    """
    assert site.site.database is not None
    found = {
        name: memory(pid, "VmRSS")
        for name, pid in site.site.pids().items()
        if name != "postgres"
    }
    found["postgres"] = sum(memory(pid, "RssAnon") for pid in site.site.database.pids())
    return found


def slope(sizes: list[int]) -> float:
    """Return by how many MiB an hour *sizes* rise: least squares, second half."""
    later = sizes[len(sizes) // 2 :]
    middle, mean = (len(later) - 1) / 2, sum(later) / len(later)
    over = sum((at - middle) * (size - mean) for at, size in enumerate(later))
    under = sum((at - middle) ** 2 for at in range(len(later))) or 1
    return over / under / 1024 * HOUR / EVERY


def watched(site: Ward, seen: dict[str, list[int]]) -> None:
    """Look at the site's memory until the time is over."""
    read, begun = site.read["reader"], time.monotonic()
    for number in count(1):
        if number * EVERY > SECONDS:
            return
        while time.monotonic() < begun + number * EVERY:
            site.site.tend()
            time.sleep(0.2)
        for name, size in sizes(site).items():
            seen.setdefault(name, []).append(size)
        most = max(seen, key=lambda name: seen[name][-1])
        if number % 6 == 0:
            print(
                f"{number * EVERY:5.0f} s, opened {len(read.names('opened'))},"
                f" most memory: {most} {seen[most][-1] >> 10} MiB"
            )


def test_soak(tmp_path: Path) -> None:
    """Every packet of 16 gateways is stored once and opened; memory stays."""
    seen: dict[str, list[int]] = {}
    print()
    with ward() as site:
        gateways = [f"gateway-{number + 1}" for number in range(BEDS)]
        for name, patient in zip(gateways, site.enrol(BEDS), strict=True):
            site.gateway(name, patient.gateway)
        read = site.watch("reader", site.reader("nurse", "role:nurse", "ward:icu"))
        until(lambda: len(read.names("opened", "vitals")) >= BEDS, LONGEST)
        first = dict(site.site.pids())
        watched(site, seen)
        assert dict(site.site.pids()) == first, f"a process ended: {site.said}"
        site.site.launcher.stop(gateways)
        ledger.drain(site, tmp_path)
        found = ledger.look(site)
        found.check()
        assert found.settled()
        until(lambda: found.data() <= read.names("opened", "vitals"), LONGEST)
        assert not read.names("closed")
    print(f"{'process':<12} {'first':>9} {'last':>9} {'slope':>14}")
    for name, each in seen.items():
        ends = f"{each[0] / 1024:5.1f} MiB {each[-1] / 1024:5.1f} MiB"
        print(f"{name:<12} {ends} {slope(each):+8.2f} MiB/h")
    print(
        f"{len(found.expected())} packets sealed, {len(found.stored)} stored,"
        f" {len(found.lost())} lost, {len(found.doubled)} doubled, all opened"
    )
    for name, each in seen.items():
        quarter = max(1, len(each) // 4)
        early, late = max(each[quarter : 2 * quarter] or each), max(each[-quarter:])
        assert late <= early * GROWTH, name
