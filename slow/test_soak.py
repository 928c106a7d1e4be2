"""Run a site for SOAK seconds: nothing is refused, and memory does not grow on."""

import os
import time
from pathlib import Path

from tests.support.site import until, ward

SECONDS = int(os.environ.get("SOAK", "300"))
EVERY = 10.0  # seconds between looks
LONGEST = 60  # seconds for the rest to arrive at the end
GROWTH = 1.25  # of the last quarter's resident memory over the second's, at most


def resident(pid: int) -> int:
    """Return the resident memory of *pid*, KiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (each for each in status.splitlines() if each.startswith("VmRSS:"))
    return int(line.split()[1])


def test_soak() -> None:
    """Four gateways send; every packet is stored and opened; memory stays."""
    seen: dict[str, list[int]] = {}
    with ward() as site:
        gateways = []
        for number, patient in enumerate(site.enrol(4), 1):
            gateways.append(f"gateway-{number}")
            site.gateway(gateways[-1], patient.gateway)
        read = site.watch("reader", site.reader("nurse", "role:nurse", "ward:icu"))
        until(lambda: len(read.names("opened", "vitals")) >= 4)
        first = dict(site.site.pids())
        end = time.monotonic() + SECONDS
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(EVERY, left))
            site.site.tend()
            for name, pid in first.items():
                if name != "postgres":  # what it holds is shared, and its own affair
                    seen.setdefault(name, []).append(resident(pid))
            opened = len(read.names("opened", "vitals"))
            most = max(seen, key=lambda name: seen[name][-1])
            print(
                f"{left:4.0f} s left, opened {opened}, most memory: {most}"
                f" {seen[most][-1] >> 10} MiB"
            )
        assert dict(site.site.pids()) == first, "a process ended"
        site.site.launcher.stop(gateways)
        sealed = {
            name
            for gateway in gateways
            for name in site.sealed[gateway].names("sealed", "vitals")
        }
        until(lambda: sealed <= read.names("opened", "vitals"), LONGEST)
        assert not [line for line in read.lines if line["event"] == "refused"]
    print(f"{len(sealed)} packets of vitals, all opened")
    for name, sizes in seen.items():
        quarter = max(1, len(sizes) // 4)
        early, late = max(sizes[quarter : 2 * quarter] or sizes), max(sizes[-quarter:])
        print(f"{name:<12} {early >> 10:>4} MiB, at the end {late >> 10:>4} MiB")
        assert late <= early * GROWTH, name
