# ruff: noqa: INP001 - a script
"""Write the reference pages that say no more than the code does: ``make docs``.

The commands come from the parser, the settings from ``config.py`` and the refusals
from the syntax trees of the whole package. The tests compare, so that a page that
lags behind is red.
"""

import argparse
import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

from sealward.cli import main

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/sealward"
REFERENCE = ROOT / "docs/reference"
MADE = "<!-- made by docs/generate.py from the code; `make docs` makes it anew -->\n\n"

Bases: TypeAlias = Mapping[str, str]

ACTS = {
    "SealwardError": "-",
    "RefusalError": "the sender",
    "UnreadableError": "the reader",
    "UnavailableError": "nobody yet",
    "ConfigError": "the operator",
}

# Words that no exception bears: counted, and by whom they are said.
WORDS = {
    "ahead": "A reading's time is more than two seconds ahead of the gateway's clock.",
    "late": "A reading came after its pack had closed.",
    "offprofile": "The gateway's profile has no channel for this vital.",
    "poor": "A reading of bad quality leaves a gap.",
    "repeated": "A gateway was told twice to send again: the first counts.",
    "verb": "A command that a gateway does not know.",
}
BROKER = {
    "auth": "Custody has not admitted the connection; its own word says why.",
    "certificate": "No certificate, or one of another authority.",
    "malformed": "What was said is no MQTT 3.1.1, or no NATS.",
    "oversize": "More than 64 KiB in one message.",
    "qos": "QoS 2, which is not served.",
    "tls": "Another fault of the handshake, such as a version below TLS 1.3.",
    "trespass": "A topic or subject that is not this connection's.",
}


def main_() -> None:
    """Write every page that is made from the code."""
    for name in PAGES:
        (REFERENCE / name).write_text(page(name), encoding="utf-8")


def page(name: str) -> str:
    """Return the text of the page *name* of ``docs/reference``."""
    return MADE + PAGES[name]()


def table(heads: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n"
        for line in lines
    )


# --- the command line -----------------------------------------------------------


def command_line() -> str:
    """Return the page of the commands, from the parser itself."""
    parser = main.parser()
    return (
        "# The command line\n\n"
        f"{main.PROMISE}\n\n"
        "```text\nsealward [--help] [--version] COMMAND ...\n```\n\n"
        "Exit status: 0 done, 1 an error that the message explains, 2 a wrong use of "
        "the command line, 130 an interruption. An error is one line on standard "
        "error, `sealward: <reason>: <what to do>`; the reasons are listed in "
        "[refusals](refusals.md). Every command but `demo` takes `--config`. "
        "Processes log to standard error and end in good order at SIGINT or "
        "SIGTERM.\n\n" + "\n".join(_commands(parser, "sealward"))
    )


def _commands(parser: argparse.ArgumentParser, above: str) -> Iterator[str]:
    """Yield a section for each command of *parser*, and for theirs."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way
        if not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            continue
        helps = {each.dest: each.help for each in action._choices_actions}  # noqa: SLF001
        for name, command in action.choices.items():
            said = command.description or f"{_sentence(helps[name] or '')}."
            yield f"## {above} {name}\n\n{said}\n\n{_options(command)}"
            yield from _commands(command, f"{above} {name}")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _options(parser: argparse.ArgumentParser) -> str:
    """Return the table of *parser*'s options; empty if it has none of its own."""

    def rows() -> Iterator[tuple[str, ...]]:
        for action in parser._actions:  # noqa: SLF001 - argparse has no public way
            if not action.option_strings or action.dest == "help":
                continue
            value = action.metavar if isinstance(action.metavar, str) else ""
            if action.choices is not None:
                value = "|".join(map(str, action.choices))
            names = ", ".join(
                f"`{f'{o} {value}'.strip()}`" for o in action.option_strings
            )
            needed = " (needed)" if action.required else ""
            yield names, f"{action.help or ''}{needed}"

    return table(("option", "meaning"), rows())


# --- the settings -----------------------------------------------------------------


def configuration() -> str:
    """Return the page of the settings, from the source of ``config.py``."""
    path = PACKAGE / "config.py"
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    sections = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and (name := _table_of(node)):
            rows = _settings(node, lines)
            heads = ("name", "type", "default", "meaning")
            sections.append(f"## [{name}]\n\n{_first(node)}\n\n{table(heads, rows)}")
    return (
        "# Configuration\n\n"
        "One TOML file, `sealward.toml`, one table a process. It is the file named by "
        "`--config`, else by the environment's `SEALWARD_CONFIG`, else the one in the "
        "working directory. Relative paths start beside the file. Secrets are files "
        "and never stand in it. An unknown table, an unknown name and a value of "
        "another type are errors (`misconfigured`), each named. A table that is not "
        "there has its defaults.\n\n"
        "Of the environment two names are read: `SEALWARD_CONFIG`, and "
        "`DATABASE_URL`, which goes before `[database] url`. The password, if there "
        "is one, belongs in the files of libpq. Either names the owner of the "
        "database or nobody: each process connects as its own role "
        "(see [database](database.md)).\n\n" + "\n".join(sections)
    )


def _table_of(node: ast.ClassDef) -> str:
    """Return which table of the file the class *node* is; empty if it is none."""
    for each in node.body:
        match each:
            case ast.Assign(
                targets=[ast.Name(id="TABLE")], value=ast.Constant(value=str(name))
            ):
                return name
            case _:
                continue
    return ""


def _settings(node: ast.ClassDef, lines: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield the fields of *node*; what each means stands behind it in *lines*."""
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            kind = ast.unparse(each.annotation)
            default = "needed"
            match each.value:
                case ast.Constant(value=bool(value)):
                    default = f"`{str(value).lower()}`"
                case ast.Constant(value=""):
                    default = "empty"
                case (
                    ast.Constant(value=str() | int() as value)
                    | ast.Call(args=[ast.Constant(value=str() as value)])
                ):
                    default = f"`{value}`"
                case _:
                    pass
            meaning = lines[each.lineno - 1].partition("#")[2].strip()
            kinds = {"str": "text", "int": "whole number", "bool": "true or false"}
            yield f"`{each.target.id}`", kinds.get(kind, "path"), default, meaning


# --- the refusals ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Word:
    """One reason: what it means, who acts and where it is said."""

    reason: str
    meaning: str
    acts: str
    where: str


def refusals() -> str:
    """Return the page of every reason in the package."""
    heads = ("reason", "means", "who acts", "said in")
    rows = ((f"`{w.reason}`", w.meaning, w.acts, f"`{w.where}`") for w in words())
    counted = ((f"`{name}`", WORDS.get(name, "")) for name in sorted(literals()))
    broker = ((f"`{name}`", BROKER.get(name, "")) for name in sorted(logged()))
    return (
        "# Refusals, by reason\n\n"
        "A refusal has one lower-case word. The exception, the audit, the metric's "
        "label, the log line, the command's message and the tests use that same "
        "word, and no word means two things. Who acts is the family of the error: "
        "*the sender* sent what may not enter; *the reader* lacks something; *nobody "
        "yet*, it is tried again; *the operator* has a setting to mend.\n\n"
        "A gateway is told one of eight codes, not the word: to a stranger refusals "
        "look alike.\n\n"
        + table(heads, rows)
        + "\n## Counted, and raised by nobody\n\n"
        "Labels of `sealward_readings_refused` and `sealward_commands_refused`.\n\n"
        + table(("reason", "means"), counted)
        + "\n## Refused by the broker itself\n\n"
        "Such things never reach our code. The launcher reads them from the broker's "
        "log and counts; the demo's summary shows them as *refused by broker*.\n\n"
        + table(("reason", "means"), broker)
    )


@cache
def trees() -> dict[str, ast.Module]:
    """Return the syntax tree of each module, by its name in the package."""
    return {
        path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): (
            ast.parse(path.read_text(encoding="utf-8"))
        )
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def words() -> list[Word]:
    """Return every reason that an exception of the package bears, by its word."""
    classes = [
        (module, node)
        for module, tree in trees().items()
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    ]
    bases = {
        node.name: base.id
        for _, node in classes
        for base in node.bases[:1]
        if isinstance(base, ast.Name)
    }
    found = [
        Word(reason, _first(node), _acts(node.name, bases), module)
        for module, node in classes
        if (reason := _reason(node))
    ]
    return sorted(found, key=lambda word: word.reason)


def _reason(node: ast.ClassDef) -> str:
    """Return the reason that the class *node* bears itself; empty if it has none."""
    for each in node.body:
        match each:
            case (
                ast.Assign(
                    targets=[ast.Name(id="reason")], value=ast.Constant(value=str(word))
                )
                | ast.AnnAssign(
                    target=ast.Name(id="reason"), value=ast.Constant(value=str(word))
                )
            ):
                return word
            case _:
                continue
    return ""


def _first(node: ast.ClassDef) -> str:
    """Return the first paragraph of what *node* says of itself, in one line."""
    paragraph = (ast.get_docstring(node) or "").partition("\n\n")[0]
    return re.sub(r"\s+", " ", paragraph).replace("``", "`")


def _acts(name: str, bases: Bases) -> str:
    """Return who must act on the error called *name*."""
    while name not in ACTS:
        name = bases[name]
    return ACTS[name]


def literals() -> set[str]:
    """Return the reasons that are counted by the gateway and raised by nobody."""
    raised = {word.reason for word in words()}
    found: set[str] = set()
    for module, tree in trees().items():
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="refuse"),
                    args=[ast.Constant(value=str(word)), *_],
                ):
                    found.add(word)
                case ast.keyword(arg="reason", value=ast.Constant(value=str(word))):
                    found.add(word)
                case ast.For(
                    target=ast.Name(id="reason"), iter=ast.Tuple(elts=elements)
                ) if module == "bedside.bed":
                    found |= {str(ast.literal_eval(element)) for element in elements}
                case _:
                    continue
    return found - raised


def logged() -> list[str]:
    """Return the reasons by which the broker's own log is counted."""
    for node in trees()["wire.brokerlog"].body:
        match node:
            case ast.Assign(
                targets=[ast.Name(id="_REASONS")], value=ast.Tuple(elts=pairs)
            ):
                return [
                    str(ast.literal_eval(pair.elts[0]))
                    for pair in pairs
                    if isinstance(pair, ast.Tuple)
                ]
            case _:
                continue
    return []


PAGES: Mapping[str, Callable[[], str]] = {
    "command-line.md": command_line,
    "configuration.md": configuration,
    "refusals.md": refusals,
}

if __name__ == "__main__":
    main_()
