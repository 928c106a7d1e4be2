"""The demo's screen: what the entitled reader sees beside what the server sees.

It shows nothing but what the processes said; it opens no packet itself.
"""

import time

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sealward.demo.tally import RECENT, Tally, percentile
from sealward.vitals.table import VITALS

SHOWN = ("hr", "pr", "spo2", "rr", "tskin")  # columns, where a patient has them
STALE = 15.0  # seconds without a packet after which a row is dimmed
DISCLAIMER = "A secondary display, not a certified medical device or alarm."
"""Said on each screen."""


def moment(at_ms: int) -> str:
    """Return *at_ms*, ms since 1970, as a time of the UTC day."""
    return time.strftime("%H:%M:%S", time.gmtime(at_ms / 1000))


def patients(tally: Tally) -> Table:
    """Return the table of the beds as the entitled reader sees them."""
    columns = [
        name for name in SHOWN if any(name in row.values for row in tally.rows.values())
    ]
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    table.add_column("patient", style="bold")
    table.add_column("at (UTC)")
    for name in columns:
        table.add_column(f"{name} {VITALS[name].ucum}", justify="right")
    table.add_column("packets", justify="right", style="dim")
    now = time.time()  # noqa: TID251 - for dimming what is old, no decision
    for row in sorted(tally.rows.values(), key=lambda each: each.patient):
        values = [row.values.get(name, "-") for name in columns]
        style = "dim" if now - row.seen > STALE else ""
        table.add_row(
            row.patient, moment(row.at_ms), *values, str(row.opened), style=style
        )
    return table


def server(tally: Tally, rows: int) -> Table:
    """Return the table of the newest packets as the server sees them: no more."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    table.add_column("alias", no_wrap=True)
    table.add_column("kind")
    table.add_column("bytes", justify="right")
    for seen in list(tally.server)[-rows:]:
        table.add_row(seen.alias, seen.kind, str(seen.size))
    return table


def outsider(tally: Tally) -> RenderableType:
    """Return what the refused reader was given, and why it stays closed to him."""
    given = sum(tally.refused.values())
    lines = [
        Text.assemble(
            ("has day salts, records and packets from a colleague: ", "dim"),
            (f"{given} packets, {tally.refused_opened} opened", "bold"),
        ),
        Text(tally.why or "…", style="yellow"),
        Text.assemble(
            ("and when he asks custody himself: ", "dim"),
            (tally.server_says or "…", "yellow"),
        ),
    ]
    return Group(*lines)


def figures(tally: Tally, counts: dict[str, int], elapsed: float) -> Text:
    """Return the line of counters and latencies."""
    reading, sealing = tally.from_reading[-RECENT:], tally.from_sealing[-RECENT:]
    return Text.assemble(
        ("sealed ", "dim"), f"{len(tally.sealed)}",
        ("  admitted ", "dim"), f"{counts.get('admitted', 0)}",
        ("  stored ", "dim"), f"{counts.get('stored', 0)}",
        ("  opened ", "dim"), f"{len(tally.opened)}",
        ("   reading→opened p50/p99 ", "dim"),
        f"{percentile(reading, 0.5):.0f}/{percentile(reading, 0.99):.0f} ms",
        ("   sealed→opened ", "dim"),
        f"{percentile(sealing, 0.5):.0f}/{percentile(sealing, 0.99):.0f} ms",
        ("   running ", "dim"), f"{elapsed:.0f} s",
    )  # fmt: skip


def board(
    tally: Tally, counts: dict[str, int], elapsed: float, said: list[str], height: int
) -> RenderableType:
    """Return the whole screen for a terminal of *height* lines."""
    with tally.lock:
        beds = max(4, len(tally.rows))
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(ratio=3)
        grid.add_column(ratio=2)
        grid.add_row(
            Panel(patients(tally), title="what the entitled reader sees"),
            Panel(server(tally, beds), title="what the server sees of the same"),
        )
        parts: list[RenderableType] = [
            grid,
            Panel(outsider(tally), title="the refused reader"),
            figures(tally, counts, elapsed),
        ]
        room = max(0, height - beds - 16)
        parts += [Text(line, style="magenta") for line in said[-room:] if room]
        parts.append(Text(f"{DISCLAIMER}  Ctrl-C stops everything.", style="dim"))
        return Group(*parts)


def plain(tally: Tally, counts: dict[str, int], elapsed: float) -> str:
    """Return one line on the state, for where there is no terminal."""
    with tally.lock:
        last = tally.server[-1] if tally.server else None
        seen = f"server sees {last.alias} {last.kind} {last.size} B" if last else ""
        beds = "; ".join(
            f"{row.patient} "
            + " ".join(f"{key} {value}" for key, value in row.values.items())
            for row in list(tally.rows.values())[:2]
        )
        refused = (
            f"refused reader {tally.refused_opened} of {sum(tally.refused.values())}"
        )
        return f"{figures(tally, counts, elapsed).plain} | {beds} | {seen} | {refused}"
