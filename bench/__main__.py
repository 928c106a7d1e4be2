"""Measure everything, or the sections named; print one table, write results.json.

``--page`` puts the figures into docs/reference/performance.md as well.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from bench import (
    codec,
    gateway,
    ingest,
    page,
    plain,
    receive,
    sealing,
    signatures,
    start,
    table,
    transport,
)
from bench.table import Row

RESULTS = Path(__file__).parent / "results.json"
SECTIONS: Mapping[str, Callable[[], Iterable[Row]]] = {
    "codec": codec.rows,
    "sealing": sealing.rows,
    "signatures": signatures.rows,
    "ingest": ingest.rows,
    "receive": receive.rows,
    "plain": plain.rows,
    "transport": transport.rows,
    "gateway": gateway.rows,
    "start": start.rows,
}


def main(arguments: list[str]) -> int:
    """Return how many targets were missed by more than noise."""
    logging.basicConfig(level=logging.ERROR)  # the table alone is to be seen
    begun = time.monotonic()
    wanted = [name for name in arguments if name != "--page"] or list(SECTIONS)
    found: list[Row] = []
    written: dict[str, list[dict[str, object]]] = {}
    for section in wanted:
        table.head(section)
        rows = []
        for row in SECTIONS[section]():
            table.show(row)
            rows.append(row)
        found += rows
        written[section] = [
            asdict(row) | {"also": dict(row.also), "verdict": row.verdict}
            for row in rows
        ]
        if "--page" in arguments:
            page.write(section, rows)
    RESULTS.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    missed = [row.what for row in found if not row.within()]
    took = time.monotonic() - begun
    print(f"{len(found)} rows in {took:.0f} s; missed: {'; '.join(missed) or 'none'}")
    return sum(row.failed for row in found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
