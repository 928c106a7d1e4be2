"""What each command does, and how it ends."""

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping

from sealward.cli import enrolling, processes, reading
from sealward.errors import SealwardError


def run(
    given: argparse.Namespace,
    acts: Mapping[str, Callable[[argparse.Namespace], int]] | None = None,
) -> int:
    """Do what *given* asks for, by one of *acts*, and return the exit status.

    An error of ours is one line on standard error: its reason, then what to do; it is
    said once, however many met it. A fault of ours keeps its traceback.
    """
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
    )
    # asyncio's word on a TLS connection that the other side has ended: no news.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    try:
        return (acts or ACTS)[given.command](given)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0  # whoever read us has read enough
    except SealwardError as error:
        explain(error)
    except BaseExceptionGroup as group:
        causes = list(leaves(group))
        if not all(isinstance(cause, SealwardError) for cause in causes):
            raise
        for cause in {str(each): each for each in causes}.values():
            explain(cause)
    return 1


def explain(error: BaseException) -> None:
    """Say on standard error why, in one word, and what to do."""
    reason = getattr(error, "word", "") or getattr(error, "reason", "failed")
    print(f"sealward: {reason}: {error}", file=sys.stderr)


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield what *group* is made of."""
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from leaves(each)
        else:
            yield each


def _demo(given: argparse.Namespace) -> int:
    from sealward.demo import run as demo  # noqa: PLC0415 - it brings the screen

    return demo.run(
        demo.Wish(
            seconds=given.seconds,
            report=given.report,
            replay=given.replay,
            speed=given.speed,
            patients=given.patients,
            pack_seconds=given.pack,
            state=given.state,
        )
    )


def _enrol(given: argparse.Namespace) -> int:
    result = enrolling.enrol(given)
    if given.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<10} {value}")
    return 0


ACTS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "demo": _demo,
    "watch": reading.watch,
    "read": reading.read,
    "enrol": _enrol,
    "custody": processes.custody,
    "authority": processes.authority,
    "intake": processes.intake,
    "bedside": processes.bedside,
    "migrate": processes.migrate,
}
