"""Enrol a patient, a gateway or a reader, at custody's desk on this machine."""

import argparse
import asyncio
from collections.abc import Mapping

from sealward import config
from sealward.analyst import person
from sealward.bedside.credential import Keeper
from sealward.custody import names
from sealward.wire import desk


def enrol(given: argparse.Namespace) -> Mapping[str, str]:
    """Enrol what *given* names and return what is worth knowing of it."""
    path = config.where(given.config)
    custody = config.Custody.read(path)
    match given.what:
        case "patient":
            return asyncio.run(_patient(given, custody))
        case "gateway":
            folder = given.folder or config.Bedside.read(path).folder
            keeper = Keeper(folder, custody.socket)
            pseudonym = asyncio.run(keeper.attach(given.bed, given.uid))
            return {"pseudonym": pseudonym, "folder": str(folder)}
        case _:
            folder = given.folder or config.Reader.read(path).folder
            made = asyncio.run(
                person.enrol(
                    folder,
                    given.name,
                    given.attribute,
                    registrar=given.registrar,
                    custody=custody.socket,
                    authority=config.Authority.read(path).socket,
                )
            )
            return {"person": str(made), "folder": str(folder)}


async def _patient(
    given: argparse.Namespace, custody: config.Custody
) -> Mapping[str, str]:
    asked = {
        "ward": given.ward,
        "purposes": ["care", *sorted(set(given.purpose))],
        "studies": sorted(set(given.study)),
    }
    answer = await desk.call(custody.socket, "patient.add", asked)
    uid = names.read_uid(str(answer["uid"]))
    return {"uid": names.shown(uid), "pseudonym": str(answer["pseudonym"])}
