"""Processes of one user ask each other; a stranger's bytes do no harm."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealward.errors import ConfigError, RefusalError, UnavailableError
from sealward.wire import desk
from sealward.wire.desk import Desk, DeskRefusedError, Peer


class ClosedError(RefusalError):
    """A refusal of some other room."""

    reason = "closed"


async def answer(
    peer: Peer, verb: str, arguments: Mapping[str, object]
) -> Mapping[str, object]:
    """Answer as a desk does."""
    match verb:
        case "echo":
            return arguments
        case "who":
            return {"uid": peer.uid, "pid": peer.pid}
        case "refuse":
            raise ClosedError("come back tomorrow")
        case "slow":
            await asyncio.sleep(5)
            return {}
        case "large":
            return {"large": bytes(desk.LARGEST)}
        case _:
            raise ZeroDivisionError


def run(
    folder: Path,
    visit: Callable[[Path], Awaitable[None]],
    errors: list[Exception] | None = None,
) -> None:
    """Let *visit* ask at a desk in *folder*."""

    async def whole() -> None:
        path = folder / "own" / "desk"
        noted = [] if errors is None else errors
        served: Desk = await desk.serve(path, answer, on_error=noted.append)
        try:
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.parent.stat().st_mode & 0o777 == 0o700
            await visit(path)
        finally:
            await served.close()
        assert not path.exists()

    asyncio.run(whole())


def test_an_answer_is_what_was_said(tmp_path: Path) -> None:
    """Bytes, numbers and what lies within each other; and the kernel says who asks."""

    async def visit(path: Path) -> None:
        said = {"alias": "a", "salt": bytes(32), "days": [1, 2, {"x": None}]}
        assert await desk.call(path, "echo", said) == said
        who = await desk.call(path, "who", {})
        assert who == {"uid": os.getuid(), "pid": os.getpid()}

    run(tmp_path, visit)


def test_a_refusal_carries_its_word(tmp_path: Path) -> None:
    """Any other fault is ours: it is noted here and not told there."""
    errors: list[Exception] = []

    async def visit(path: Path) -> None:
        with pytest.raises(DeskRefusedError, match="tomorrow") as refused:
            await desk.call(path, "refuse", {})
        assert refused.value.word == "closed"
        with pytest.raises(DeskRefusedError) as failed:
            await desk.call(path, "break", {})
        assert failed.value.word == "failed"

    run(tmp_path, visit, errors)
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    """No socket, no answer in time, an answer too large."""

    async def visit(path: Path) -> None:
        with pytest.raises(UnavailableError):
            await desk.call(path.with_name("other"), "echo", {})
        with pytest.raises(UnavailableError):
            await desk.call(path, "slow", {}, timeout=0.05)
        with pytest.raises(UnavailableError):
            await desk.call(path, "echo", {"large": bytes(desk.LARGEST)})
        with pytest.raises(UnavailableError):
            await desk.call(path, "large", {}, timeout=1)

    run(tmp_path, visit)


def frame(data: bytes) -> bytes:
    """Return *data* with its length."""
    return len(data).to_bytes(4, "big") + data


QUESTION = cbor2.dumps([1, "echo", {"x": 1}], canonical=True)


def test_a_connection_asks_several_times(tmp_path: Path) -> None:
    """In order, and in pieces too."""

    async def visit(path: Path) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        for piece in (frame(QUESTION) * 2)[:40], (frame(QUESTION) * 2)[40:]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        for _ in range(2):
            size = int.from_bytes(await reader.readexactly(4), "big")
            heard = cbor2.loads(await reader.readexactly(size))
            assert heard == [1, "ok", {"x": 1}]
        writer.close()

    run(tmp_path, visit)


async def hung_up(path: Path, data: bytes) -> bool:
    """Say *data*; say whether the desk hangs up without a word."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(1), 2) == b""
    except ConnectionResetError:
        return True
    finally:
        writer.close()


@pytest.mark.parametrize(
    "data",
    [
        (desk.LARGEST + 1).to_bytes(4, "big") + bytes(9),
        frame(b""),
        frame(b"\xff"),
        frame(QUESTION + b"\0"),
        frame(cbor2.dumps([2, "echo", {}])),
        frame(cbor2.dumps([1, "echo"])),
        frame(cbor2.dumps([1, b"echo", {}])),
        frame(cbor2.dumps([1, "echo", {1: 2}])),
        frame(cbor2.dumps({})),
        frame(b"\x83\x01\x64echo\xbf\xff"),  # a map of indefinite length
        frame(b"\x83\x18\x01\x64echo\xa0"),  # a number longer than it need be
        frame(b"\x81" * 5000),
        frame(b"\x83\x01\x64echo\xa2\x61a\x01\x61a\x02"),  # a name twice
    ],
)
def test_what_is_no_question_is_hung_up_on(tmp_path: Path, data: bytes) -> None:
    """And the next visitor is served."""

    async def visit(path: Path) -> None:
        assert await hung_up(path, data)
        assert await desk.call(path, "echo", {"x": 1}) == {"x": 1}

    run(tmp_path, visit)


def test_random_bytes_do_no_harm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever comes, the desk hangs up or answers, and lives."""

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.binary(min_size=1, max_size=40), min_size=10, max_size=10))
    def attack(many: list[bytes]) -> None:
        async def visit(path: Path) -> None:
            for data in many:
                assert await hung_up(path, frame(data))
            assert await desk.call(path, "echo", {}) == {}

        run(tmp_path_factory.mktemp("desk"), visit)

    attack()


def test_a_desk_stands_where_nobody_else_enters(tmp_path: Path) -> None:
    """The folder keeps strangers out before the socket's own mode does."""
    tmp_path.chmod(0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        asyncio.run(desk.serve(tmp_path / "desk", answer))
    with pytest.raises(ConfigError, match="107"):
        asyncio.run(desk.serve(tmp_path / ("x" * 100) / "desk", answer))
