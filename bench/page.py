"""Put the figures of a run into the documentation, between its marks."""

import re
from collections.abc import Sequence
from pathlib import Path

from bench.table import Row

PAGE = Path(__file__).parents[1] / "docs/reference/performance.md"


def lines(section: str, rows: Sequence[Row]) -> str:
    """Return *rows* as a Markdown table; *section* is what to measure them again by."""
    out = ["| what | figure | target | by |", "|---|---|---|---|"]
    for row in rows:
        verdict = "**missed**" if row.verdict == "missed" else row.verdict
        aim = f"{row.target}: {verdict}" if row.target else ""
        command = f"`make bench ONLY={section}`"
        out.append(f"| {row.what} | {row.figure} | {aim} | {command} |")
    return "\n".join(out)


def write(section: str, rows: Sequence[Row], page: Path = PAGE) -> None:
    """Replace the table of *section* in *page* by *rows*.

    Raises:
        ValueError: the page has no place for it.
    """
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    text = page.read_text(encoding="utf-8")
    place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    table = f"{begin}\n{lines(section, rows)}\n{end}"
    text, found = place.subn(lambda _: table, text)
    if not found:
        raise ValueError("the page has no marks for this section")
    page.write_text(text, encoding="utf-8")
