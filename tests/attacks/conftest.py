"""One site for all attacks, and those who attack it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.device import enrolled
from tests.support.intruder import Gateway, Stage
from tests.support.site import Ward, until, ward

from sealward.bedside.credential import Credential


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Return a running site; who breaks something of it puts it right again."""
    with ward() as made:
        yield Stage(made)


@pytest.fixture(scope="module")
def own(stage: Stage) -> Gateway:
    """Return a gateway that is attacked, or that nobody minds."""
    return stage.gateway()


@pytest.fixture(scope="module")
def thief(stage: Stage) -> Gateway:
    """Return a gateway whose keys are in somebody else's hands."""
    return stage.gateway()


@pytest.fixture(scope="module")
def site() -> Iterator[Ward]:
    """Return a site of the module's own, without gateways, once intake works."""
    with ward() as made:
        until((made.site.root / "intake/metrics.prom").exists)
        yield made


@pytest.fixture
def device(site: Ward, tmp_path: Path) -> Credential:
    """Return a credential in an attacker's hands, of this test alone."""
    return enrolled(site, tmp_path / "device")
