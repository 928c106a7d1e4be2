"""Watch live, or read what is stored, as one enrolled reader."""

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from sealward import clock, config
from sealward.analyst.person import Person
from sealward.analyst.process import Reader, SaltRefused, Told
from sealward.analyst.reading import Closed, Opened
from sealward.cli import processes
from sealward.seal.envelope import NAMES
from sealward.vitals.table import find
from sealward.wire import bus
from sealward.wire.nkey import NKey
from sealward.wire.tls import Identity


def _person(path: Path, folder: Path) -> Person:
    custody, authority = config.Custody.read(path), config.Authority.read(path)
    return Person(folder, custody.socket, authority.socket)


def _line(told: Told) -> Mapping[str, object]:
    """Return *told* as the object that ``--json`` prints; vitals as exact text."""
    if isinstance(told, SaltRefused):
        return {
            "event": "salt-refused",
            "patient": told.patient,
            "reason": told.word,
            "why": told.why,
        }
    line: dict[str, object] = {
        "alias": told.bed.alias,
        "patient": told.bed.pseudonym,
        "epoch": told.packet.epoch,
        "seq": told.packet.seq,
        "kind": NAMES[told.packet.kind],
        "size": told.size,
        "opened_ns": time.time_ns(),
    }
    if isinstance(told, Closed):
        reason = told.error.reason
        return line | {"event": "closed", "reason": reason, "why": str(told.error)}
    last: dict[str, str] = {}
    for _, vital, value in told.values:
        last[vital] = str(value)
    at_ms = max((at for at, _, _ in told.values), default=0)
    said = told.said and {"code": told.said.code, "details": str(told.said.details)}
    return line | {"event": "opened", "at_ms": at_ms, "values": last, "said": said}


def _text(told: Told) -> str | None:
    """Return *told* as a line for a person, None if there is nothing to see."""
    if isinstance(told, SaltRefused):
        return f"{told.patient}  no day salt: {told.word}: {told.why}"
    if isinstance(told, Closed):
        return f"{told.bed.pseudonym}  closed: {told.error.reason}: {told.error}"
    if told.said:
        return f"{told.bed.pseudonym}  {told.said.code} {told.said.details}"
    if not told.values:
        return None
    last = {vital: value for _, vital, value in told.values}
    at = datetime.fromtimestamp(max(at for at, _, _ in told.values) / 1000, UTC)
    values = "  ".join(f"{vital} {value}" for vital, value in last.items())
    return f"{told.bed.pseudonym}  {at:%H:%M:%S}Z  {values}"


def watch(given: argparse.Namespace) -> int:
    """Show what is admitted, as it is admitted."""
    path = config.where(given.config)
    settings = config.Reader.read(path)
    folder = given.reader or settings.folder
    show: Callable[[Told], None] = _show_json if given.json else _show_text
    screen = None
    if not given.json and processes.stdout_is_terminal():
        from sealward.cli.screen import Screen  # noqa: PLC0415 - only at a terminal

        screen = Screen(folder.name)
        show = screen.take
    reader = Reader(
        _person(path, folder),
        processes.database_url(path, "analyst"),
        show,
        salts_as=given.salts_as and _person(path, given.salts_as),
        folder=folder,
    )
    work = _follow(reader, config.Broker.read(path).service, settings.service)
    if screen is None:
        processes.until_told(work)
    else:
        with screen:
            processes.until_told(work)
    return 0


async def _follow(reader: Reader, url: str, service: Path) -> None:
    identity = Identity(
        certificate=service / "tls.pem",
        key=service / "tls.key",
        authority=service / "service-ca.pem",
    )
    seed = NKey.load(service / "nats.seed")
    async with await bus.connect(url, identity, seed, name="analyst") as connection:
        await reader.follow(connection)


def _show_json(told: Told) -> None:
    print(json.dumps(_line(told)), flush=True)


def _show_text(told: Told) -> None:
    if line := _text(told):
        print(line, flush=True)


def read(given: argparse.Namespace) -> int:
    """Print the stored vitals of the days asked for, a line a reading."""
    path = config.where(given.config)
    folder = given.reader or config.Reader.read(path).folder
    vital = find(given.vital).key if given.vital else None
    closed: list[Closed] = []

    def show(told: Told) -> None:
        if isinstance(told, SaltRefused):
            (_show_json if given.json else _show_text)(told)
        elif isinstance(told, Closed):
            closed.append(told)
        else:
            _readings(told, vital, as_json=given.json)

    reader = Reader(
        _person(path, folder), processes.database_url(path, "analyst"), show
    )
    try:
        asyncio.run(_history(reader, given))
    finally:
        reader.close()
    for told in {each.error.reason: each for each in closed}.values():
        print(json.dumps(_line(told)) if given.json else _text(told))
    return 1 if closed else 0


def _readings(told: Opened, vital: str | None, *, as_json: bool) -> None:
    """Print each reading in *told*, or those of one *vital*."""
    for at_ms, name, value in told.values:
        if vital in (None, name):
            moment = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
            if as_json:
                line = {"patient": told.bed.pseudonym, "at": moment}
                print(json.dumps(line | {"vital": name, "value": str(value)}))
            else:
                print(f"{told.bed.pseudonym}  {moment}  {name:<6} {value}")


async def _history(reader: Reader, given: argparse.Namespace) -> None:
    first = int(clock.now().timestamp()) // 86_400 - given.days + 1
    await reader.fetch_key(given.days)
    beds = await reader.learn(first, given.patient)
    for _ in reader.history(beds, first):
        pass
