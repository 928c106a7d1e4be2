"""Start one process: read its settings, build it, run it until it is told to end."""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Mapping
from dataclasses import asdict
from pathlib import Path

from sealward import clock, config
from sealward.errors import ConfigError
from sealward.records import postgres, session

log = logging.getLogger(__name__)


def database_url(path: Path, role: str) -> str:
    """Return how *role* reaches the database that the site at *path* uses.

    Raises:
        ConfigError: none is named, or one that is reached without verified TLS.
    """
    url = config.database_url() or config.Database.read(path).url
    if not url:
        raise ConfigError(
            f"{path}: [database] url is empty; give DATABASE_URL or run the demo"
        )
    postgres.protected(url)
    return session.as_role(url, role)


def until_told(work: Coroutine[object, object, None]) -> None:
    """Run *work* until it ends, or SIGINT or SIGTERM cancels it."""

    async def main() -> None:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        told = False

        def stop() -> None:
            nonlocal told
            if not told:
                told = True
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        try:
            await task
        except asyncio.CancelledError:
            if not told:
                raise

    asyncio.run(main())


def migrate(given: argparse.Namespace) -> int:
    """Bring the schema up to date."""
    from sealward.records import migration  # noqa: PLC0415 - few need it

    path = config.where(given.config)
    taken = migration.migrate(database_url(path, "owner"))
    if given.json:
        print(json.dumps({"applied": taken, "at": migration.expected()}))
    else:
        print(f"applied {taken or 'nothing'}; the schema is at {migration.expected()}")
    return 0


def custody(given: argparse.Namespace) -> int:
    """Run custody, or make the site."""
    path = config.where(given.config)
    if given.install:
        from sealward.custody import installing  # noqa: PLC0415

        hosts = given.host or ["localhost", "127.0.0.1"]
        made = installing.install(path.parent, hosts, clock.now())
        print("installed" if made else "there is a site here already")
        if given.mpk:
            installing.pin_authority(path.parent, bytes.fromhex(given.mpk))
            print("the authority's public key is pinned")
        return 0
    from sealward.custody.process import Process  # noqa: PLC0415

    settings = config.Custody.read(path)
    process = Process(settings, database_url(path, "custody"))
    until_told(process.run(config.Broker.read(path).service))
    return 0


def authority(given: argparse.Namespace) -> int:
    """Run the authority, or make its master key."""
    path = config.where(given.config)
    settings = config.Authority.read(path)
    if given.install:
        from sealward.authority import holder  # noqa: PLC0415

        print(holder.install(settings.folder).hex())
        return 0
    from sealward.authority import process  # noqa: PLC0415

    until_told(process.run(settings, database_url(path, "authority")))
    return 0


def intake(given: argparse.Namespace) -> int:
    """Run intake."""
    from sealward.intake import process  # noqa: PLC0415

    path = config.where(given.config)
    until_told(
        process.start(
            config.Intake.read(path),
            config.Broker.read(path),
            config.Custody.read(path),
            database_url(path, "intake"),
        )
    )
    return 0


def bedside(given: argparse.Namespace) -> int:
    """Run a gateway on a recording, or on simulated patients."""
    from sealward.bedside import starting  # noqa: PLC0415
    from sealward.bedside.bed import Sealed  # noqa: PLC0415

    path = config.where(given.config)
    settings = config.Bedside.read(path)
    if given.folder:
        settings = config.Bedside(folder=given.folder, spool_mib=settings.spool_mib)
    wish = starting.Wish(
        replay=given.replay,
        columns=dict(_columns(given.column)),
        patient_column=given.patient_column,
        patient=given.patient,
        pick=given.pick,
        speed=given.speed,
        loop=given.loop,
        course=given.course,
        seed=given.seed,
    )

    heard = True

    def told(sealed: Sealed) -> None:
        line = {**asdict(sealed), "event": "sealed", "kind": sealed.kind.name.lower()}
        nonlocal heard
        if heard:
            try:
                print(json.dumps(line), flush=True)
            except BrokenPipeError:  # whoever read us has gone; sealing goes on
                heard = False
                sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123

    gateway = starting.gateway(
        settings,
        config.Broker.read(path),
        config.Custody.read(path),
        told if given.json else None,
    )
    until_told(gateway.run(starting.plans(settings.folder, wish)))
    return 0


def _columns(given: list[str]) -> Mapping[str, str]:
    pairs = [each.partition("=") for each in given]
    if any(not (column and vital) for column, _, vital in pairs):
        raise ConfigError("--column takes COLUMN=VITAL, such as HR=hr")
    return {column: vital for column, _, vital in pairs}


def stdout_is_terminal() -> bool:
    """Return whether somebody looks at what we print."""
    return sys.stdout.isatty()
