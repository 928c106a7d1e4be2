"""Kill processes at random under load, for CHAOS rounds; nothing is lost or doubled."""

import os
import random
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from tests.live import test_kill
from tests.live.test_kill import kill, numbered, spooled, stored, tended, until_tended
from tests.support.site import Ward

ROUNDS = int(os.environ.get("CHAOS", "30"))
LONGEST = 120  # seconds for everything to arrive at the end
VICTIMS = ("broker", "intake", "postgres", "custody", "authority")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Return the site that the short test kills, too."""
    yield from test_kill.made(tmp_path_factory.mktemp("recording"))


def arrived(site: Ward, root: Path) -> bool:
    """Return whether the database holds every number that was used."""
    return len(stored(site)) == sum(numbered(root).values())


def test_chaos(site: Ward) -> None:
    """After each round the reader opens new packets; at the end all are stored once."""
    seed = int(os.environ.get("SEED", str(random.SystemRandom().randrange(1 << 32))))
    lots = random.Random(seed)  # noqa: S311 - so that a run can be repeated
    print(f"seed {seed}, {ROUNDS} rounds")
    read, root = site.read["reader"], site.site.root
    until_tended(site, lambda: len(read.names("opened", "vitals")) >= 3)
    for number in range(ROUNDS):
        victims = lots.sample((*VICTIMS, "gateway-1", "gateway-2"), lots.choice((1, 2)))
        for victim in victims:
            if victim in site.site.pids():  # it may be down still, from its last death
                kill(site, victim)
        tended(site, lots.uniform(0.1, 3))
        before = len(read.names("opened", "vitals"))
        until_tended(
            site,
            lambda count=before: len(read.names("opened", "vitals")) > count,
            LONGEST,
        )
        opened = len(read.names("opened", "vitals"))
        print(f"round {number + 1}: {' and '.join(victims)}; opened {opened}")
    site.site.launcher.stop(["gateway-1", "gateway-2", "gateway-3"])
    until_tended(site, lambda: arrived(site, root), LONGEST)
    held, database = spooled(root), stored(site)
    names = [name for name, _ in database]
    assert len(names) == len(set(names)), "stored twice"
    for name, digest in database:
        if name in held:
            assert sha256(held[name]).digest() == digest
    print(f"{len(names)} packets, each stored once")
