"""The documents' commands are the program's: its help, its options, its verbs."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.documents import ROOT, documents

from sealward.cli.main import parser

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def commands(text: str) -> Iterator[str]:
    """Yield the commands in *text*: indented lines and those of fenced blocks."""
    whole = text.replace("\\\n", " ")
    fenced = re.sub(r"^```.*$", "", whole, flags=re.MULTILINE)
    for line in fenced.splitlines():
        if line.startswith("    "):
            yield line.strip()


def sealward(text: str) -> Iterator[list[str]]:
    """Yield the words behind ``sealward`` of each command in *text* that calls it."""
    for command in commands(text):
        first = re.match(r"(?:cd \S+ && )?(?:\.venv-run/bin/)?sealward ", command)
        if first:
            words = shlex.split(command[first.end() :].split(" | ")[0])
            yield words


def test_the_readme_says_its_two_commands() -> None:
    """As lines of their own, which the build runs as they stand."""
    lines = README.splitlines()
    assert "    make demo" in lines
    assert "    make test" in lines


def test_the_help_in_the_readme_is_the_programs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    assert f"$ sealward --help\n{parser().format_help()}```" in README


@pytest.mark.parametrize("path", documents(), ids=str)
def test_every_command_in_a_document_is_one(path: Path) -> None:
    """What a reader would type is what the program takes."""
    for words in sealward((ROOT / path).read_text(encoding="utf-8")):
        try:
            parser().parse_args(words)
        except SystemExit as end:
            assert end.code == 0, words  # noqa: PT017 - argparse ends the process


def test_the_tutorial_has_commands_to_check() -> None:
    """The search above finds them: a blind test would pass as well."""
    tutorial = ROOT / "docs/tutorial/first-heartbeat.md"
    found = list(sealward(tutorial.read_text(encoding="utf-8")))
    assert {words[0] for words in found} >= {"demo", "watch", "read", "enrol"}


@pytest.mark.parametrize("path", documents(), ids=str)
def test_every_verb_in_a_document_is_one(path: Path) -> None:
    """``make something`` in the documents is in the Makefile."""
    text = (ROOT / path).read_text(encoding="utf-8")
    verbs = set(re.findall(r"^\s+make ([a-z]+)\b(?!/)", text, re.MULTILINE))
    verbs |= set(re.findall(r"`make ([a-z]+)[` ]", text))
    known = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    assert verbs <= known
