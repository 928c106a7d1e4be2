"""Find the documents, for the tests that hold them to the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def documents() -> list[Path]:
    """Return every document of the project, relative to its root."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path.relative_to(ROOT) for path in found)


def links(text: str) -> list[str]:
    """Return the targets of the links and pictures in *text*, those in code not."""
    outside = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", outside)


def anchors(text: str) -> set[str]:
    """Return the anchors that the headings of *text* give."""
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
