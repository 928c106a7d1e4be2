"""A gateway's folder survives a kill at any moment, and a day without custody."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from tests.support.backstage import ALIAS, DAY, EPOCH, MIDNIGHT, Backstage
from tests.support.openhanded import OpenHandedDesk
from tests.support.site import ROOT

from sealward.bedside.credential import Credential, Keeper
from sealward.errors import ConfigError, UnavailableError
from sealward.seal.signing import ForgedError

NOON = MIDNIGHT + DAY / 2


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[OpenHandedDesk]:
    """Return a custody that gives what it is asked for."""
    with OpenHandedDesk(tmp_path / "custody/desk.sock", Backstage()) as opened:
        yield opened


@pytest.fixture
def keeper(tmp_path: Path, desk: OpenHandedDesk) -> Keeper:
    """Return the keeper of a new gateway's folder."""
    return Keeper(tmp_path / "gateway", desk.path)


def fetched(keeper: Keeper, now: datetime = NOON, epoch: int = EPOCH) -> Credential:
    """Return the credential of *keeper*'s bed 0 that serves *epoch*."""
    return asyncio.run(keeper.credential(0, now, epoch))


def test_a_credential_is_fetched_once_a_day(
    desk: OpenHandedDesk, keeper: Keeper
) -> None:
    """Within its day a restart finds it in the folder and asks nobody."""
    first = fetched(keeper)
    again = fetched(Keeper(keeper.folder, desk.path))
    assert (first.alias, first.epoch) == (again.alias, again.epoch)
    assert first.key.private_numbers() == again.key.private_numbers()
    assert again.salts == desk.stage.salts()
    assert desk.asked == ["credential.issue"]


def test_a_start_on_the_next_day_brings_a_new_alias(
    desk: OpenHandedDesk, keeper: Keeper
) -> None:
    """The old one is kept, for its packets may still wait."""
    first = fetched(keeper)
    desk.stage.epoch = EPOCH + 1
    second = fetched(keeper, NOON + DAY, EPOCH + 1)
    assert second.alias != first.alias
    assert second.key.private_numbers() != first.key.private_numbers()
    assert [each.alias for each in keeper.others(0, second.alias)] == [first.alias]


def test_a_credential_that_is_half_written_is_nobodys(keeper: Keeper) -> None:
    """What a kill has left is not among the earlier ones, whose packets may wait."""
    first = fetched(keeper)
    (keeper.folder / "bed-0" / f"{'h' * 26}.half").mkdir()
    assert keeper.others(0, first.alias) == []
    assert [each.alias for each in keeper.others(0, "another")] == [first.alias]


def test_without_custody_an_alias_goes_on_for_its_day_of_grace(
    tmp_path: Path, keeper: Keeper
) -> None:
    """A gateway that starts while custody is away seals all the same, for a day."""
    first = fetched(keeper)
    alone = Keeper(keeper.folder, tmp_path / "nobody.sock")
    assert fetched(alone, NOON + DAY, EPOCH + 1).alias == first.alias
    with pytest.raises(UnavailableError):
        fetched(alone, NOON + 2 * DAY, EPOCH + 2)


def test_a_renewed_slip_is_kept(desk: OpenHandedDesk, keeper: Keeper) -> None:
    """Slip and salts are those of the day, also after a restart."""
    bed = fetched(keeper)
    desk.stage.epoch = EPOCH + 1
    asyncio.run(keeper.renew_slip(bed, NOON + DAY / 4))
    assert bed.slip.epoch == EPOCH + 1
    again = fetched(keeper)
    assert (again.slip, again.salts) == (bed.slip, desk.stage.salts())


def test_custody_must_stay_who_it_was(desk: OpenHandedDesk, keeper: Keeper) -> None:
    """Whoever answers at the desk later cannot pass for the custody first met."""
    fetched(keeper)
    desk.stage = Backstage(epoch=EPOCH + 1)
    with pytest.raises(ConfigError, match="another key"):
        fetched(keeper, NOON + DAY, EPOCH + 1)


def test_a_slip_that_custody_did_not_sign_is_refused(
    desk: OpenHandedDesk, keeper: Keeper
) -> None:
    """Nor may it be another alias's."""
    bed = fetched(keeper)
    bed.alias = ALIAS
    desk.stage = Backstage()
    with pytest.raises(ForgedError):
        asyncio.run(keeper.renew_slip(bed, NOON))


KILLED = """
import asyncio, sys
from pathlib import Path
from tests.support.backstage import EPOCH, MIDNIGHT, DAY
from tests.support.openhanded import survives
from sealward.bedside.credential import Keeper

folder, socket = Path(sys.argv[1]), Path(sys.argv[2])

def fetch() -> None:
    keeper = Keeper(folder, socket)
    bed = asyncio.run(keeper.credential(0, MIDNIGHT + DAY / 2, EPOCH))
    keeper.others(0, bed.alias)

deaths = 0
while not survives(fetch, folder, deaths + 1):
    deaths += 1
    fetch()
    folder = folder.with_name(f"gateway-{deaths}")
print(deaths)
"""


def test_a_kill_at_any_step_of_a_fetch_does_no_harm(
    tmp_path: Path, desk: OpenHandedDesk
) -> None:
    """Killed at its first change of a file, then at its second, ... it comes through.

    No half credential is ever read, and no half key is taken for one.
    """
    folder = tmp_path / "gateway"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, folder, desk.path],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
    for each in tmp_path.glob("gateway*"):
        keeper = Keeper(each, desk.path)
        bed = fetched(keeper)
        given = {bed.alias, *(old.alias for old in keeper.others(0, bed.alias))}
        assert given <= {*desk.aliases}
        assert not list(each.rglob("*.half"))
