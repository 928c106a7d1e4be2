"""The words that a user types: every command, every option, and its help.

What a command does is in ``cli.acts``, imported when it is called, so that
``--version`` and ``--help`` load nothing that they do not need.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sealward import __doc__ as promise
from sealward import __version__

PROMISE = (promise or "").splitlines()[0]
UNWATCHED = 20.0  # seconds of a demo where nobody can press Ctrl-C
EPILOG = """\
Sealward is a secondary display, not a certified medical device or alarm system.
Settings are in sealward.toml; name it by --config or SEALWARD_CONFIG. DATABASE_URL
names an operator's own PostgreSQL."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* name and return the exit status.

    0 is done, 1 an error that the message explains, 2 a wrong use of the command
    line, 130 an interruption.
    """
    given = parser().parse_args(arguments)
    from sealward.cli import acts  # noqa: PLC0415 - see above

    return acts.run(given)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="sealward",
        description=PROMISE,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(
        required=True, metavar="command", title="commands", dest="command"
    )
    _demo(commands)
    _readers(commands)
    _enrol(commands)
    _processes(commands)
    return top


if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no public name for it


def _command(
    commands: "Commands", name: str, help_: str, more: str = ""
) -> argparse.ArgumentParser:
    """Add the command *name*, whose help is *help_* in a line and *more* in full."""
    made: argparse.ArgumentParser = commands.add_parser(
        name, help=help_, description=f"{help_[0].upper()}{help_[1:]}. {more}".strip()
    )
    if name != "demo":
        made.add_argument(
            "--config", type=Path, metavar="FILE",
            help="the site's sealward.toml (default: SEALWARD_CONFIG, or one here)",
        )  # fmt: skip
    return made


def _demo(commands: "Commands") -> None:
    demo = _command(
        commands, "demo", "run the whole system here",
        "Starts PostgreSQL, the broker, custody, the authority, intake, one gateway a "
        "patient and two readers on loopback, each a process with keys of its own, "
        "in a state folder made for this run, and shows what the entitled reader sees "
        "beside what the server sees. Ctrl-C stops all of it.",
    )  # fmt: skip
    demo.add_argument(
        "--seconds", "-s", type=float, metavar="N",
        default=None if sys.stdout.isatty() else UNWATCHED,
        help="end by itself after N seconds of vitals (default: at Ctrl-C; 20 where "
        "there is no terminal)",
    )  # fmt: skip
    demo.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write what was sent, admitted, stored, opened and how fast, as JSON",
    )
    demo.add_argument(
        "--replay",
        type=Path,
        metavar="FILE",
        help="replay a recording (CSV, Parquet, WFDB), a patient a gateway",
    )
    demo.add_argument(
        "--speed",
        type=float,
        default=1.0,
        metavar="X",
        help="of the replay; what is faster starts in the past (default: 1)",
    )
    demo.add_argument(
        "--patients", type=int, default=8, metavar="N", help="how many (default: 8)"
    )
    demo.add_argument(
        "--pack",
        type=int,
        default=2,
        metavar="S",
        help="seconds of readings in a packet (default: 2; elsewhere it is 60)",
    )
    demo.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="keep the run's state in DIR (default: a new folder, removed at the end)",
    )


def _readers(commands: "Commands") -> None:
    watch = _command(
        commands, "watch", "watch the patients that a reader may read, live",
        "Opens packets as they are admitted, and shows why the others stay closed.",
    )  # fmt: skip
    read = _command(
        commands, "read", "read the stored vitals that a reader may read",
        "Opens what the database holds of the days asked for.",
    )  # fmt: skip
    for command in (watch, read):
        command.add_argument(
            "--reader",
            type=Path,
            metavar="DIR",
            help="the reader's folder (default: that of sealward.toml)",
        )
        command.add_argument(
            "--json", action="store_true", help="print one JSON object a line"
        )
    watch.add_argument(
        "--salts-as",
        type=Path,
        metavar="DIR",
        help="ask for day salts as the reader in DIR, who passes them on",
    )
    read.add_argument("--patient", metavar="PSEUDONYM", help="of this patient alone")
    read.add_argument(
        "--days",
        type=int,
        default=1,
        metavar="N",
        help="of today and the N - 1 days before (default: 1)",
    )
    read.add_argument(
        "--vital", metavar="NAME", help="of this vital alone, by name or LOINC"
    )


def _enrol(commands: "Commands") -> None:
    enrol = _command(commands, "enrol", "enrol a patient, a gateway or a reader")
    kinds = enrol.add_subparsers(required=True, metavar="what", dest="what")
    patient = kinds.add_parser(
        "patient", help="give a patient a UID, a display pseudonym and an erase salt"
    )
    patient.add_argument(
        "--ward", required=True, metavar="CODE", help="where the patient lies"
    )
    patient.add_argument(
        "--purpose",
        action="append",
        default=[],
        choices=["analysis", "research"],
        help="what the patient consents to beside care",
    )
    patient.add_argument(
        "--study",
        action="append",
        default=[],
        metavar="CODE",
        help="a study that may read the trends",
    )
    gateway = kinds.add_parser("gateway", help="attach a bed of a gateway to a patient")
    gateway.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="the gateway's own folder (default: that of sealward.toml)",
    )
    gateway.add_argument(
        "--bed", type=int, default=0, metavar="N", help="which of its beds (default: 0)"
    )
    gateway.add_argument(
        "--uid", required=True, metavar="UID", help="the patient's UID"
    )
    reader = kinds.add_parser(
        "reader", help="make a person who may read what the attributes allow"
    )
    reader.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="the reader's own folder (default: that of sealward.toml)",
    )
    reader.add_argument(
        "--name",
        required=True,
        metavar="NAME",
        help="the person's name at the identity provider",
    )
    reader.add_argument(
        "--attribute",
        action="append",
        required=True,
        metavar="KEY:VALUE",
        help="such as role:clinician or ward:icu; once for each",
    )
    reader.add_argument(
        "--registrar",
        type=Path,
        required=True,
        metavar="KEY",
        help="the registrar's private key, whose signature makes it count",
    )
    for kind in (patient, gateway, reader):
        kind.add_argument(
            "--json", action="store_true", help="print the result as JSON"
        )


def _processes(commands: "Commands") -> None:
    custody = _command(
        commands,
        "custody",
        "run custody: admission, credentials, slips, day salts",
        "It alone holds the erase salts' key.",
    )
    custody.add_argument(
        "--install",
        action="store_true",
        help="make the site's keys and authorities beside sealward.toml, and end",
    )
    custody.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="with --install: a name by which gateways reach the broker",
    )
    custody.add_argument(
        "--mpk",
        metavar="HEX",
        help="with --install: the public key that `authority --install` has printed",
    )
    authority = _command(
        commands,
        "authority",
        "run the authority, which grants attribute keys",
        "One share of one: below ISVS level 2, and said so.",
    )
    authority.add_argument(
        "--install",
        action="store_true",
        help="make the master key, print the public one, and end",
    )
    _command(commands, "intake", "run intake, the door: admit, store, receipt")
    _bedside(commands)
    migrate = _command(commands, "migrate", "bring the database's schema up to date")
    migrate.add_argument(
        "--json", action="store_true", help="print what was applied as JSON"
    )


def _bedside(commands: "Commands") -> None:
    bedside = _command(
        commands,
        "bedside",
        "run a gateway: pack, seal, sign, spool, send",
        "Without --replay the beds are simulated.",
    )
    bedside.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="the gateway's own folder (default: that of sealward.toml)",
    )
    bedside.add_argument(
        "--replay",
        type=Path,
        metavar="FILE",
        help="replay a recording: CSV, Parquet or WFDB",
    )
    bedside.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="COLUMN=VITAL",
        help="which vital, by name or LOINC, a column of the recording holds",
    )
    bedside.add_argument(
        "--patient-column",
        metavar="COLUMN",
        help="the column that tells patients apart",
    )
    bedside.add_argument(
        "--patient",
        metavar="VALUE",
        help="the patient to replay (default: the first; with several beds, one each)",
    )
    bedside.add_argument(
        "--pick",
        type=int,
        default=0,
        metavar="N",
        help="begin with the N-th patient of the recording (default: 0)",
    )
    bedside.add_argument(
        "--speed",
        type=float,
        default=1.0,
        metavar="X",
        help="of the replay (default: 1)",
    )
    bedside.add_argument(
        "--loop", action="store_true", help="begin again at the recording's end"
    )
    bedside.add_argument(
        "--course",
        default="normal",
        metavar="COURSE",
        help="of the simulation: normal (default), deteriorating, hypoxia, tachycardia",
    )
    bedside.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="of the simulation (default: 1)",
    )
    bedside.add_argument(
        "--json",
        action="store_true",
        help="print a JSON object for each packet sealed: name and size, no reading",
    )
