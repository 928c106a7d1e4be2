"""A custody that gives every gateway what it asks for, and a gateway that dies."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from tests.support.backstage import Backstage

from sealward.seal import signing, slip
from sealward.wire import desk

CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.link", "os.rmdir"}


class OpenHandedDesk:
    """Custody's desk, in a thread of its own; it checks nothing and knows nobody."""

    def __init__(self, path: Path, stage: Backstage) -> None:
        self.path = path
        self.stage = stage
        self.asked: list[str] = []
        self.aliases: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        served = self._loop.run_until_complete(desk.serve(self.path, self._answer))
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(served.close())
        self._loop.close()

    async def _answer(
        self, _: desk.Peer, verb: str, args: Mapping[str, object]
    ) -> Mapping[str, object]:
        self.asked.append(verb)
        alias = str(args.get("alias", ""))
        if not alias:
            alias = f"alias{len(self.aliases):021}"
            self.aliases.append(alias)
        signed = slip.sign(self.stage.custody, alias, self.slip())
        given = {"slip": signed, "salts": self.stage.salts()}
        if verb == "slip.fetch":
            return given
        return given | {
            "alias": alias,
            "epoch": self.stage.epoch,
            "certificate": b"certificate",
            "mpk": self.stage.credential().pins.mpk,
            "custody": signing.spki(self.stage.custody.public_key()),
            "broker": bytes(32),
            "broker_ca": b"authority",
        }

    def slip(self) -> slip.Slip:
        """Return the slip that is given, of the stage's day."""
        return replace(self.stage.slip(), epoch=self.stage.epoch)


class Doom:
    """Kills this very process at the *number*-th change of a file under *folder*."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = str(folder)
        self._left = number

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        """Hear of *event*, as ``sys.addaudithook`` has it."""
        if event not in CHANGES or not str(arguments[0]).startswith(self._folder):
            return
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


def survives(act: Callable[[], object], folder: Path, number: int) -> bool:
    """Do *act* in a child that dies at its *number*-th change of a file in *folder*.

    Return whether *act* came to its end before that. For a process of one thread.
    """
    child = os.fork()
    if not child:
        sys.addaudithook(Doom(folder, number))
        try:
            act()
        except BaseException:  # noqa: BLE001 - a child must not come back from here
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.waitstatus_to_exitcode(status) == 0, "it failed before it was killed"
    return True
