"""Ask another process of the same machine, over a Unix socket that one user owns.

A frame is its length, 4 bytes big-endian, and deterministic CBOR (RFC 8949 §4.2.1):
``[1, verb, {name: value}]``, answered by ``[1, "ok", {name: value}]`` or by
``[1, "refused", reason, message]``.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cbor2

from sealward.errors import ConfigError, RefusalError, UnavailableError

LARGEST = 256 * 1024  # bytes of a frame
DEEPEST = 16  # arrays and maps within each other
_VERSION = 1
_LENGTH = 4  # bytes
_IDLE = 60.0  # seconds that a connection may stay silent
_PATH = 107  # bytes of a socket's path (sockaddr_un, Linux)
_PEER = struct.Struct("3i")  # ucred: pid, uid, gid


class DeskRefusedError(RefusalError):
    """The other process refuses; ``word`` is its reason."""

    reason = "desk"

    def __init__(self, word: str, message: str) -> None:
        """Carry *word*, and *message* for the person who acts."""
        super().__init__(message)
        self.word = word


@dataclass(frozen=True, slots=True)
class Peer:
    """Who asks, as the kernel says."""

    uid: int
    pid: int


Handler = Callable[[Peer, str, Mapping[str, object]], Awaitable[Mapping[str, object]]]


class Desk:
    """A socket at which questions are answered. Made by ``serve``."""

    def __init__(
        self, path: Path, handler: Handler, on_error: Callable[[Exception], None]
    ) -> None:
        """Answer at *path* with *handler*."""
        self._path = path
        self._handler = handler
        self._on_error = on_error
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begin to answer."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._visit, self._path)
        self._path.chmod(0o600)  # until here the folder alone has kept others out

    async def close(self) -> None:
        """Hang up on everyone; a question under way may or may not have its effect."""
        if self._server is not None:
            self._server.close()
        for visit in self._visits:
            visit.cancel()
        if self._visits:
            await asyncio.wait(self._visits)
        self._path.unlink(missing_ok=True)

    async def _visit(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._visits.add(task)
            task.add_done_callback(self._visits.discard)
        try:
            peer = _peer(writer)
            while True:
                verb, arguments = _question(await _read(reader, _IDLE))
                writer.write(await self._answered(peer, verb, arguments))
                await writer.drain()
        except (ValueError, OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass  # a frame that is none, or nobody there any more: hang up
        finally:
            writer.close()

    async def _answered(
        self, peer: Peer, verb: str, arguments: Mapping[str, object]
    ) -> bytes:
        asked = self._handler(peer, verb, arguments)
        [answer] = await asyncio.gather(asked, return_exceptions=True)
        match answer:
            case RefusalError():
                return _frame([_VERSION, "refused", answer.reason, str(answer)])
            case Exception():
                self._on_error(answer)
                return _frame([_VERSION, "refused", "failed", "it did not work"])
            case BaseException():
                raise answer
            case _:
                return _frame([_VERSION, "ok", dict(answer)])


async def serve(
    path: Path,
    handler: Handler,
    *,
    on_error: Callable[[Exception], None] = lambda _: None,
) -> Desk:
    """Answer at the socket *path*, 0600, whose folder is made 0700 if it is not there.

    *handler* gets who asks, a verb and its arguments, and returns the answer. Its
    ``RefusalError`` is told to who asks; any other exception goes to *on_error*, and
    who asks hears ``failed`` alone.

    Raises:
        ConfigError: the path is too long for a socket, or others may enter its folder.
    """
    if len(os.fsencode(path)) > _PATH:
        raise ConfigError(f"{path}: a socket's path has {_PATH} bytes at most")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent.stat().st_mode & 0o077:
        raise ConfigError(f"{path.parent}: chmod 700, others can enter")
    desk = Desk(path, handler, on_error)
    await desk.open()
    return desk


async def call(
    path: Path,
    verb: str,
    arguments: Mapping[str, object],
    timeout: float = 10,  # noqa: ASYNC109 - a caller's own patience
) -> Mapping[str, object]:
    """Ask the process at *path* to *verb*, and return its answer within *timeout* s.

    Raises:
        DeskRefusedError: it refuses, and ``word`` is the reason.
        UnavailableError: it is away, or answers nothing that can be read.
    """
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(_frame([_VERSION, verb, dict(arguments)]))
                return _answer(await _read(reader, timeout))
            finally:
                writer.close()
    except (OSError, EOFError, TimeoutError, ValueError) as error:
        raise UnavailableError(f"{path.name}: nobody answers") from error


def _frame(value: object) -> bytes:
    data = cbor2.dumps(value, canonical=True)
    if len(data) > LARGEST:
        raise ValueError("the frame is too large")
    return len(data).to_bytes(_LENGTH, "big") + data


async def _read(reader: asyncio.StreamReader, patience: float) -> object:
    """Return what the next frame says.

    Raises:
        ValueError: it is too large, or no CBOR, or more than one item.
        EOFError, TimeoutError: it does not come.
    """
    async with asyncio.timeout(patience):
        size = int.from_bytes(await reader.readexactly(_LENGTH), "big")
        if size > LARGEST:
            raise ValueError("the frame is too large")
        data = await reader.readexactly(size)
    try:
        value: object = cbor2.loads(data, max_depth=DEEPEST, allow_indefinite=False)
        if cbor2.dumps(value, canonical=True) != data:
            raise ValueError("not deterministic")
    except (cbor2.CBORError, TypeError) as error:
        raise ValueError("no CBOR") from error
    return value


def _question(frame: object) -> tuple[str, Mapping[str, object]]:
    match frame:
        case [1, str(verb), dict(arguments)] if all(
            isinstance(name, str) for name in arguments
        ):
            return verb, arguments
        case _:
            raise ValueError("no question")


def _answer(frame: object) -> Mapping[str, object]:
    match frame:
        case [1, "ok", dict(answer)]:
            return answer
        case [1, "refused", str(word), str(message)]:
            raise DeskRefusedError(word, message)
        case _:
            raise ValueError("no answer")


def _peer(writer: asyncio.StreamWriter) -> Peer:
    sock: socket.socket = writer.get_extra_info("socket")
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid, uid, _ = _PEER.unpack(credentials)
    return Peer(uid=uid, pid=pid)
