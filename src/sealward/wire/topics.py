"""Name what is said, and by whom: MQTT topics and the NATS subjects they become.

MQTT's ``/`` is NATS' ``.``, so an alias holds neither, and no wildcard either.
"""

import re
from typing import NewType

from sealward.errors import RefusalError

Alias = NewType("Alias", str)  # one credential's pseudonym: ALIAS, a day long

ALIAS = re.compile(r"[a-z0-9]{26}")  # for fullmatch
STORED = "t.*.*.*"  # a telemetry packet in its stream: t.<partition>.<alias>.<kind>
_STORED = re.compile(r"t\.([0-7])\.([a-z0-9]{26})\.([a-z]{1,16})")


class TrespassError(RefusalError):
    """We said or asked for what the broker does not permit us."""

    reason = "trespass"


def telemetry(alias: Alias, kind_name: str) -> str:
    """Return the MQTT topic on which a gateway publishes packets of a kind."""
    return f"telemetry/{alias}/{kind_name}"


def command(alias: Alias, verb: str) -> str:
    """Return the MQTT topic of what a server tells a gateway."""
    return f"cmd/{alias}/{verb}"


def command_subject(alias: Alias, verb: str) -> str:
    """Return the NATS subject on which a server says it."""
    return f"cmd.{alias}.{verb}"


def commands(alias: Alias) -> str:
    """Return the MQTT filter of everything a gateway is told."""
    return f"cmd/{alias}/#"


def coc(alias: Alias) -> str:
    """Return the MQTT topic of the frames that go straight to the ward."""
    return f"coc/{alias}"


def coc_subject(alias: Alias) -> str:
    """Return the NATS subject of those frames."""
    return f"coc.{alias}"


def live(alias: Alias) -> str:
    """Return the NATS subject of packets that were just admitted."""
    return f"live.{alias}"


def read_stored(subject: str) -> tuple[int, Alias, str] | None:
    """Return partition, alias and kind of a packet in the stream.

    None if *subject* has another shape: the stream takes any alias and any kind
    that its publisher was permitted, so a stranger to the shape is refused here.
    """
    match = _STORED.fullmatch(subject)
    if match is None:
        return None
    return int(match[1]), Alias(match[2]), match[3]


def read_live(subject: str) -> Alias | None:
    """Return whose packet was admitted; None if *subject* has another shape."""
    room, _, alias = subject.partition(".")
    return Alias(alias) if room == "live" and ALIAS.fullmatch(alias) else None


def read_command(topic: str) -> tuple[Alias, str] | None:
    """Return alias and verb of the MQTT *topic* of a command, None if it is none."""
    room, alias, verb = [*topic.split("/"), "", "", ""][:3]
    if topic.count("/") != 2 or room != "cmd" or not ALIAS.fullmatch(alias):  # noqa: PLR2004 - three levels
        return None
    return Alias(alias), verb
