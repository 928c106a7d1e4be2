"""The guard ends what it was told of, and nobody who merely bears the same id."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sealward.demo import guard

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the guard needs pidfd_open(2)"
)
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
WAITS = "print(flush=True); import time; time.sleep(60)"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Return what ends each process of a test."""
    with ExitStack() as made:
        yield made


def process(stack: ExitStack, script: str, cwd: Path) -> subprocess.Popen[bytes]:
    """Return a process at work in *cwd*, once it has said so."""
    made = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-c", script], cwd=cwd, stdout=subprocess.PIPE
        )
    )
    stack.callback(made.kill)
    assert made.stdout is not None
    made.stdout.readline()
    return made


def test_children_and_servers_are_ended_and_folders_removed(
    stack: ExitStack, tmp_path: Path
) -> None:
    """Each by its own signal."""
    home, gone = tmp_path / "home", tmp_path / "gone"
    home.mkdir()
    gone.mkdir()
    child = process(stack, WAITS, tmp_path)
    server = process(stack, WAITS, home)
    (tmp_path / "pid").write_text(f"{server.pid}\nmore\n", encoding="ascii")
    guard.main(
        [
            f'["child", {child.pid}]\n',
            f'["server", "{tmp_path}/pid", "{home}", {int(signal.SIGINT)}]\n',
            f'["folder", "{gone}"]\n',
        ]
    )
    assert (child.wait(), server.wait()) == (-signal.SIGTERM, -signal.SIGINT)
    assert not gone.exists()


def test_who_works_elsewhere_is_left_alone(stack: ExitStack, tmp_path: Path) -> None:
    """A file of ids outlives its process, and the id comes to somebody else."""
    home = tmp_path / "home"
    home.mkdir()
    stranger = process(stack, WAITS, tmp_path)
    (tmp_path / "pid").write_text(f"{stranger.pid}\n", encoding="ascii")
    assert guard.working(tmp_path / "pid", home) == []
    (own,) = guard.working(tmp_path / "pid", tmp_path)
    os.close(own)
    guard.main([f'["server", "{tmp_path}/pid", "{home}", {int(signal.SIGINT)}]\n'])
    assert stranger.poll() is None


def test_who_does_not_listen_is_ended_by_force(
    stack: ExitStack, tmp_path: Path
) -> None:
    """After the time that it has to end in good order."""
    deaf = process(stack, DEAF + WAITS, tmp_path)
    begun = time.monotonic()
    guard.main([f'["child", {deaf.pid}]\n'])
    assert deaf.wait() == -signal.SIGKILL
    assert time.monotonic() - begun >= guard.GRACE


def test_half_a_line_is_no_word(stack: ExitStack, tmp_path: Path) -> None:
    """A launcher that is killed while it writes has said all lines before."""
    child = process(stack, WAITS, tmp_path)
    guard.main([f'["child", {child.pid}]\n', '["child", 1'])
    assert child.wait() == -signal.SIGTERM
