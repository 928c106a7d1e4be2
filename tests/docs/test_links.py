"""The documents name what is there, and are all to be found."""

import re
from pathlib import Path

import pytest
from tests.docs.documents import ROOT, anchors, documents, links


@pytest.mark.parametrize("path", documents(), ids=str)
def test_every_link_leads_somewhere(path: Path) -> None:
    """To a file of the project, and to a heading if it names one."""
    for target in links((ROOT / path).read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        led = (ROOT / path.parent / name).resolve() if name else ROOT / path
        assert led.is_relative_to(ROOT.resolve()), target
        assert led.exists(), target
        if anchor:
            assert anchor in anchors(led.read_text(encoding="utf-8")), target


def test_every_document_is_in_the_index() -> None:
    """Who opens docs/README.md finds all of them."""
    index = ROOT / "docs/README.md"
    named = {
        (index.parent / target).resolve()
        for target in links(index.read_text(encoding="utf-8"))
        if "://" not in target
    }
    missing = {
        path
        for path in documents()
        if path.parts[0] == "docs" and (ROOT / path).resolve() not in named
    }
    assert missing <= {index.relative_to(ROOT)}


def test_decisions_are_numbered_without_a_hole() -> None:
    """And each is a page: context, choice, cost, what would change our mind."""
    found = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [path.name[:4] for path in found] == [
        f"{number:04}" for number in range(1, len(found) + 1)
    ]
    for path in found:
        text = path.read_text(encoding="utf-8")
        heads = ("Context.", "Choice.", "What it costs.", "What would change our mind.")
        assert re.findall(r"^\*\*(.*?)\*\*", text, re.MULTILINE) == list(heads), path
        assert len(text) < 4000, path


def test_the_picture_asks_nobody() -> None:
    """The demo's picture loads no font and no script from anywhere."""
    picture = (ROOT / "docs/images/demo.svg").read_text(encoding="utf-8")
    addresses = re.findall(r"(?:href=|url\()[\"']?(?!#)([^\"')]*)", picture)
    assert not addresses
    assert "<script" not in picture
