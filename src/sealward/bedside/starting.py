"""Put a gateway together: its folder, its beds, and a source of readings for each."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sealward.bedside.bed import Sealed
from sealward.bedside.credential import Keeper
from sealward.bedside.process import Gateway, Plan
from sealward.bedside.sources import simulator
from sealward.bedside.sources.recording import read
from sealward.bedside.sources.replay import replay
from sealward.bedside.sources.source import Source
from sealward.config import Bedside, Broker, Custody
from sealward.errors import ConfigError
from sealward.packet.profile import BED_1, ICU_1, Profile
from sealward.vitals.reading import Reading


class Worn:
    """A source of which a patient wears only the sensors that a profile knows."""

    def __init__(self, source: Source, profile: Profile) -> None:
        self._source = source
        self._known = {
            channel.code for group in profile.groups for channel in group.channels
        }

    async def __aiter__(self) -> AsyncIterator[Reading]:
        """Yield the readings of those sensors."""
        async for reading in self._source:
            if reading.vital in self._known:
                yield reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which readings a gateway's beds are to carry."""

    replay: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    patient_column: str | None = None
    patient: str | None = None
    pick: int = 0  # of the recording's patients, for the first bed
    speed: float = 1.0
    loop: bool = False
    course: str = "normal"
    seed: int = 1


def gateway(
    settings: Bedside,
    broker: Broker,
    custody: Custody,
    sealed: Callable[[Sealed], None] | None,
) -> Gateway:
    """Return the gateway of *settings*' folder; *sealed* is told of each packet."""
    keeper = Keeper(settings.folder, custody.socket)
    return Gateway(settings, broker, keeper, sealed=sealed or (lambda _: None))


def plans(folder: Path, wish: Wish) -> list[Plan]:
    """Return a plan for each bed that was attached, in *folder*.

    Raises:
        ConfigError: none was; see ``sealward enrol gateway``.
    """
    slots = sorted(
        int(path.name.removeprefix("bed-")) for path in folder.glob("bed-[0-9]*")
    )
    if not slots:
        raise ConfigError(
            f"{folder} has no bed; attach one by `sealward enrol gateway`"
        )
    return [_plan(slot, number, wish) for number, slot in enumerate(slots)]


def _plan(slot: int, number: int, wish: Wish) -> Plan:
    """Return the plan of the bed *slot*, the gateway's *number*-th."""
    if wish.replay is None:
        source: Source = simulator.simulate(
            wish.pick + number, seed=wish.seed, course=wish.course, speed=wish.speed
        )
        return Plan(slot, Worn(source, BED_1), BED_1)
    recording = read(
        wish.replay,
        columns=wish.columns,
        patient_column=wish.patient_column,
        patient=wish.patient,
        pick=wish.pick + number,
    )
    replayed = replay(recording, speed=wish.speed, loop=wish.loop)
    return Plan(slot, replayed, _profile(replayed.vitals))


def _profile(vitals: frozenset[str]) -> Profile:
    """Return the profile that carries most of *vitals*."""

    def carried(profile: Profile) -> int:
        return len(
            vitals
            & {channel.code for group in profile.groups for channel in group.channels}
        )

    return max((BED_1, ICU_1), key=carried)
