"""The reference says what the code says."""

import ast
import re
from pathlib import Path

import pytest
from tests.docs.documents import ROOT

from docs import generate
from sealward.seal.envelope import LIMITS, NAMES
from sealward.wire import brokerconfig

REFERENCE = ROOT / "docs/reference"


def page(name: str) -> str:
    """Return the text of the reference page *name*."""
    return (REFERENCE / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    """``make docs`` changes nothing."""
    assert page(name) == generate.page(name), "run make docs"


def test_every_reason_of_the_package_is_listed() -> None:
    """Found by their text, which the generator does not look at."""
    found = set()
    for path in (ROOT / "src/sealward").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"^    reason[^=\n]*= \"(.*?)\"", text, re.MULTILINE))
    assert found == {word.reason for word in generate.words()}


def test_words_that_nobody_raises_are_explained_and_no_others() -> None:
    """A counted word has a meaning; a meaning has a word that is counted."""
    assert generate.literals() == generate.WORDS.keys()
    assert set(generate.logged()) == generate.BROKER.keys()


def counters() -> set[str]:
    """Return the name of every counter and gauge in the package."""
    found = set()
    for tree in generate.trees().values():
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Attribute(attr="_metrics"), attr="add" | "set"
                    ),
                    args=[first, *_],
                ):
                    names = {
                        each.value
                        for each in ast.walk(first)
                        if isinstance(each, ast.Constant)
                        and isinstance(each.value, str)
                    }
                    assert names, ast.unparse(node)
                    found |= names
                case _:
                    continue
    return found


def test_every_counter_is_listed_and_no_other() -> None:
    """An operator's dashboard is built from that page."""
    listed = re.findall(r"^\| `([a-z_]+)` \|", page("metrics.md"), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == counters()


def test_the_packets_kinds_are_as_the_page_says() -> None:
    """Number, name and limit of each."""
    rows = re.findall(
        r"^\| (\d) \| (\w+) \| (\d+) KiB \|", page("packet.md"), re.MULTILINE
    )
    assert [(int(n), name, int(kib) * 1024) for n, name, kib in rows] == [
        (kind.value, NAMES[kind], LIMITS[kind]) for kind in NAMES
    ]


def test_every_service_of_the_broker_is_listed() -> None:
    """Who may say and hear what is on the page of topics."""
    listed = re.findall(
        r"^\| `([a-z]+)`[^|]*\| (?:SYS|AUTH|IOT) \|", page("topics.md"), re.MULTILINE
    )
    assert set(listed) == set(brokerconfig.SERVICES)


@pytest.mark.parametrize(
    ("page_name", "module", "shape"),
    [
        ("topics.md", "custody/desk.py", r'"([a-z]+\.[a-z]+)": self\._'),
        ("topics.md", "authority/process.py", r'if verb == "([a-z.]+)"'),
        ("database.md", "records/sql/0006_pre_roles.sql", r"to (sealward_[a-z]+)"),
        ("database.md", "records/sql/0003_pre_store.sql", r"create table store\.(\w+)"),
    ],
)
def test_what_the_code_names_the_page_names(
    page_name: str, module: str, shape: str
) -> None:
    """Verbs of the desks, roles and tables of the database."""
    text = (ROOT / "src/sealward" / Path(module)).read_text(encoding="utf-8")
    names = set(re.findall(shape, text, re.MULTILINE))
    assert names
    assert not {name for name in names if f"`{name}`" not in page(page_name)}
