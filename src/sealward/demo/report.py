"""Say in numbers what a run did: counted by those who did it, read after a drain."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from sealward import metrics
from sealward.demo.site import Site
from sealward.demo.tally import DATA, Tally, percentile
from sealward.records import database

COUNTED = ("sent", "admitted", "stored", "opened", "stored_twice")
_STORED = """
    select count(*) filter (where kind in (0, 1)),
      count(*) - count(distinct (cred, seq, day)) from store.packet"""
_DISK = """
    select coalesce(sum(pg_catalog.pg_total_relation_size(i.inhrelid)), 0)::bigint
    from pg_catalog.pg_inherits i where i.inhparent = 'store.packet'::regclass"""


def disk(site: Site) -> int:
    """Return how many bytes the stored packets take on the disk, indexes included."""
    with database.connect(site.url) as connection:
        (taken,) = database.execute(connection, _DISK).fetchone() or (0,)
    return int(taken)


def refusals(site: Site) -> dict[str, dict[str, int]]:
    """Return who refused how often and for which reason, of all processes."""
    found: dict[str, dict[str, int]] = {}
    for path in sorted(site.root.glob("*/metrics.prom")):
        who = "gateways" if path.parent.name.startswith("gateway") else path.parent.name
        for name, count in metrics.read(path).items():
            counter, _, labels = name.removeprefix("sealward_").partition("{")
            if "refused" in counter and labels:
                word = labels.partition('reason="')[2].partition('"')[0]
                key = f"{counter}:{word}" if word else counter
                table = found.setdefault(who, {})
                table[key] = table.get(key, 0) + count
    if site.broker is not None and (counted := site.broker.refusals()):
        found["broker"] = dict(counted)
    return found


def sent(site: Site) -> int:
    """Return how many data packets have left the gateways, each counted once.

    That is what they sealed, but for what their spools have never sent.
    """
    total = 0
    for path in site.root.glob("gateway-*/metrics.prom"):
        counted = metrics.read(path)
        total += sum(
            counted.get(f'sealward_packets_sealed{{kind="{kind}"}}', 0) for kind in DATA
        )
        total -= counted.get('sealward_spool{state="spooled"}', 0)
    return total


def report(
    site: Site, tally: Tally, begun: float, ready: float, empty: int
) -> Mapping[str, object]:
    """Return the report of the run that began at *begun*, on the monotonic clock.

    *ready* is how many seconds later every process had been started, *empty* the
    bytes that the store took on the disk while there was nothing in it.
    """
    with database.connect(site.url) as connection:
        stored, doubled = database.execute(connection, _STORED).fetchone() or (0, 0)
    intake = metrics.read(site.root / "intake/metrics.prom")
    admitted = sum(
        intake.get(f'sealward_packets_admitted{{kind="{kind}"}}', 0) for kind in DATA
    )
    with tally.lock:
        reading, sealing = list(tally.from_reading), list(tally.from_sealing)
        readings = max(1, tally.readings)
        first = tally.first_opened and tally.first_opened - (
            time.time() - (time.monotonic() - begun)  # noqa: TID251 - for a difference
        )
        return {
            "packets": {
                "sent": sent(site),
                "admitted": admitted,
                "stored": stored,
                "opened": len(tally.opened),
                "stored_twice": doubled,
            },
            "refused_reader": {
                "given": sum(tally.refused.values()),
                "opened": tally.refused_opened,
                "because": tally.why,
                "asking_itself": tally.server_says,
            },
            "refusals": refusals(site),
            "latency_ms": {
                "reading_to_opened": _spread(reading),
                "sealed_to_opened": _spread(sealing),
            },
            "readings": tally.readings,
            "bytes_per_reading": {
                "packet": round(tally.bytes / readings, 3),
                "wire": round(tally.wire_bytes / readings, 3),
                "wire_counts": "packet + MQTT PUBLISH + one TLS 1.3 record, computed",
                "disk": round((disk(site) - empty) / readings, 3),
                "disk_counts": "what the packets' tables and indexes grew by",
            },
            "seconds": {
                "to_all_started": round(ready, 2),
                "to_first_opened": round(first, 2),
                "whole": round(time.monotonic() - begun, 2),
            },
        }


def _spread(values: list[float]) -> Mapping[str, float | int]:
    return {
        "p50": round(percentile(values, 0.5), 1),
        "p99": round(percentile(values, 0.99), 1),
        "of": len(values),
    }


def summary(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield *result*, a report, in some lines for a person."""
    packets, refused = result["packets"], result["refused_reader"]
    yield " ".join(f"{name} {packets[name]}" for name in COUNTED)
    yield f"refused reader: given {refused['given']}, opened {refused['opened']}"
    for name, spread in result["latency_ms"].items():
        shown = f"p50 {spread['p50']:.0f} ms, p99 {spread['p99']:.0f} ms"
        yield f"{name.replace('_', ' ')}: {shown}"
    a_reading = result["bytes_per_reading"]
    yield (
        f"bytes a reading: {a_reading['packet']} in packets, {a_reading['wire']} on the"
        f" wire, {a_reading['disk']} on the disk"
    )
    yield f"first vitals opened after {result['seconds']['to_first_opened']} s"
    for who, counts in result["refusals"].items():
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        yield f"refused by {who}: {told}"
