"""Kill processes at random under load, for CHAOS rounds; nothing is lost or doubled."""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.live import test_kill
from tests.live.test_kill import grown, kill, tended
from tests.support import ledger
from tests.support.site import Ward

ROUNDS = int(os.environ.get("CHAOS", "30"))
MOST = 480  # seconds after which no further round begins
LONGEST = 120  # seconds for what a round or the end must bring
GATEWAYS = ("gateway-1", "gateway-2", "gateway-3")
VICTIMS = ("broker", "intake", "postgres", "custody", "authority", "reader", *GATEWAYS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """Return the site that the short test kills, too."""
    yield from test_kill.made(tmp_path_factory.mktemp("recording"))


def rounds(site: Ward, lots: random.Random, deaths: Counter[str]) -> None:
    """Kill one or two at a random moment, until the reader opens what is new."""
    read, begun = site.read["reader"], time.monotonic()
    print(f"{'round':>5} {'killed':<26} {'again after':>11} {'opened':>7}")
    for number in range(ROUNDS):
        if time.monotonic() - begun > MOST:
            print(f"{MOST} s are over after {number} rounds")
            return
        moment = time.monotonic() + lots.uniform(0, 2)
        tended(site, lambda at=moment: time.monotonic() > at)  # type: ignore[misc]
        victims = lots.sample(VICTIMS, lots.choice((1, 1, 2)))
        for victim in victims:
            if victim in site.site.pids():  # it may be down still, from its last death
                kill(site, victim)
                deaths[victim] += 1
        struck = time.monotonic()
        tended(site, grown(read, 10), LONGEST)
        opened, after = len(read.names("opened")), time.monotonic() - struck
        print(f"{number + 1:>5} {' '.join(victims):<26} {after:>9.1f} s {opened:>7}")


def test_chaos(site: Ward, tmp_path: Path) -> None:
    """After each round the reader opens new packets; at the end all are stored once."""
    seed = int(os.environ.get("SEED", str(random.SystemRandom().randrange(1 << 32))))
    lots, deaths = random.Random(seed), Counter[str]()  # noqa: S311 - so that a run can be repeated
    read = site.read["reader"]
    print(f"\nseed {seed}, {ROUNDS} rounds")
    tended(site, grown(read, 3))
    rounds(site, lots, deaths)
    tended(site, lambda: set(VICTIMS) <= site.site.pids().keys())
    site.site.launcher.stop(GATEWAYS)
    ledger.look(site).check()
    ledger.drain(site, tmp_path)
    found = ledger.look(site)
    found.check()
    assert found.settled()
    tended(site, lambda: found.data() <= read.names("opened", "vitals"), LONGEST)
    print("deaths:", ", ".join(f"{name} {deaths[name]}" for name in VICTIMS))
    print(
        f"{len(found.expected())} numbers given, {len(found.stored)} stored,"
        f" {len(found.lost())} lost, {len(found.doubled)} doubled,"
        f" {len(found.differing())} differing, {len(found.repeated())} sealed twice,"
        f" {len(found.data())} of readings, all opened;"
        f" {sum(map(len, found.secrets().values()))} content secrets"
    )
