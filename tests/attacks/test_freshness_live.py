"""Through the real broker: each hostile packet has its word, its row and its count."""

import asyncio
from pathlib import Path

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.device import enrolled, forged, run
from tests.support.hostile import (
    KID,
    Line,
    Says,
    Told,
    counted,
    digests,
    flush,
    refused,
    stored,
)
from tests.support.site import Ward

from sealward.bedside.credential import Credential
from sealward.seal.envelope import LIMITS, NAMES, Kind
from sealward.seal.receipt import Code, Receipt

AHEAD = 60  # slots, ten minutes


@pytest.fixture
def other(site: Ward, tmp_path: Path) -> Credential:
    """Return another gateway's credential."""
    return enrolled(site, tmp_path / "other")


def hostile(
    device: Credential, other: Credential
) -> dict[str, list[tuple[str, bytes]]]:
    """Return hostile packets on *device*'s topic: by word, each with its level."""
    good = Says(device=device, seq=900).packet()
    items = list(cbor2.loads(good).value)
    stranger = ec.generate_private_key(ec.SECP256R1())

    def cose(*changed: object) -> bytes:
        return cbor2.dumps(cbor2.CBORTag(18, list(changed)))

    vitals = {
        "forged": [
            forged(good),
            Says(device=device, seq=901, key=stranger).packet(),
            Says(device=device, seq=902, alias=other.alias).packet(),
            Says(device=other, seq=903).packet(),
            Says(device=other, seq=904, alias=device.alias).packet(),
        ],
        "unsigned": [
            cose(*items[:3], b""),
            cbor2.dumps(cbor2.CBORTag(16, [items[0], {}, items[2]])),
            cbor2.dumps([*items[:3], items[3]]),
        ],
        "algorithm": [
            cose(cbor2.dumps({1: number, 4: KID}), *items[1:])
            for number in (-8, -35, 5, 0)
        ],
        "malformed": [
            b"",
            b"\xff" * 100,
            good[:-1],
            cose(items[0], {1: 2}, *items[2:]),
            b"\xd2\x84\x5b" + b"\xff" * 8,
            b"\xd2\x84" + b"\x81" * 5000,
        ],
        "trailing": [good + b"\0", good + good],
        "oversize": [
            Says(device=device, seq=905, body=bytes(LIMITS[Kind.VITALS])).packet(),
            bytes(63 * 1024),
        ],
        "early": [Says(device=device, seq=906, slots=12 + AHEAD).packet()],
        "epoch": [
            Says(device=device, seq=907, days=-1).packet(),
            Says(device=device, seq=908, days=2).packet(),
            Says(device=device, seq=909, days=-20_000).packet(),
        ],
        "far": [Says(device=device, seq=1 << 20).packet()],
        "misplaced": [Says(device=device, seq=910, kind=Kind.WAVE).packet()],
    }
    found = {
        word: [("vitals", packet) for packet in packets]
        for word, packets in vitals.items()
    }
    found["malformed"] += [
        ("key", Says(device=device, seq=911, kind=Kind.KEY).packet()),
        ("nokind", b"x"),
    ]
    found["misplaced"] += [("alarm", good), ("nokind", good)]
    for kind in (Kind.WAVE, Kind.EVENT, Kind.KEY, Kind.SEAL):
        large = Says(device=device, seq=912, kind=kind, body=bytes(LIMITS[kind]))
        found["oversize"].append((NAMES[kind], large.packet()))
    return found


def test_each_hostile_packet_has_its_word_and_nothing_good_is_lost(
    site: Ward, device: Credential, other: Credential
) -> None:
    """Forty hostile packets between honest ones: rows, counts, and only those stored.

    What the sender's own key has not signed names no packet of his in a refusal.
    """
    acts = hostile(device, other)
    before = {word: counted(site, word) for word in acts}
    sent = {word: len(packets) for word, packets in acts.items()}
    honest = [Says(device=device, seq=seq).packet() for seq in range(len(acts) + 1)]

    def all_counted() -> bool:
        return all(counted(site, word) == before[word] + sent[word] for word in sent)

    async def attack() -> Told:
        async with Line(site, device) as line:
            for word, good in zip(acts, honest, strict=False):
                line.say([good])
                for level, packet in acts[word]:
                    line.say([packet], level)
            line.say(honest[-1:])
            await line.until(lambda: stored(site, device) == digests(honest))
            await line.until(all_counted)
            return line.refusals()

    assert run(attack()) == {
        (Code.TIME, 906),
        *((Code.EPOCH, seq) for seq in (907, 908, 909)),
        (Code.TIME, 1 << 20),
        (Code.MALFORMED, 911),
    }
    flush(site)
    assert refused(site, device) == sent
    assert stored(site, device) == digests(honest)
    assert stored(site, other) == {}
    assert site.rows("select * from audit.first_break()") == []


def test_a_replayed_day_is_stored_once(site: Ward, device: Credential) -> None:
    """At once, and from a backup after intake has started anew: it only counts."""
    day = [Says(device=device, seq=seq).packet() for seq in range(200)]

    async def send(packets: list[bytes], kept: list[bytes], counts: int) -> Told:
        async with Line(site, device) as line:
            line.say(packets)
            await line.until(lambda: stored(site, device) == digests(kept))
            await line.until(lambda: counted(site, "replayed") == counts)
            await line.until(lambda: any(type(m) is Receipt for m in line.told()))
            return line.refusals()

    before = counted(site, "replayed")
    assert run(send(day * 2, day, before + 200)) == set()
    flush(site)
    assert refused(site, device) == {"replayed": 200}
    more = [*day, Says(device=device, seq=200).packet()]
    assert run(send([*day, *more], more, 400)) == set()
    flush(site)
    assert refused(site, device) == {"replayed": 600}
    rows = site.rows(
        "select count(*), count(distinct seq) from store.packet"
        " join registry.credential using (cred) where alias = %s",
        device.alias,
    )
    assert rows == [(201, 201)]


def test_other_bytes_under_a_number_are_a_conflict(
    site: Ward, device: Credential
) -> None:
    """The first bytes stay, also where only the database remembers the number."""
    first = [Says(device=device, seq=seq).packet() for seq in (5, 9)]
    twin = Says(device=device, seq=5, body=bytes(41)).packet()
    more = [*first, Says(device=device, seq=6).packet()]

    async def send(packets: list[bytes], kept: list[bytes], told: Told) -> None:
        async with Line(site, device) as line:
            line.say(packets)
            await line.until(lambda: stored(site, device) == digests(kept))
            await line.until(lambda: line.refusals() == told)

    run(send(first, first, set()))
    flush(site)  # 5 lies beyond a hole: intake's memory has lost it
    run(send([twin, more[-1]], more, {(Code.CONFLICT, 5)}))
    flush(site)
    assert refused(site, device) == {"conflicting": 1}
    assert stored(site, device) == digests(more)


def test_who_is_over_or_gone_is_refused_on_a_connection_that_is_open(
    site: Ward, device: Credential, other: Credential, tmp_path: Path
) -> None:
    """The door keeps the days by itself, and an alias that nobody has is nobody's."""
    gone = enrolled(site, tmp_path / "gone")
    cred = site.rows(
        "select cred from registry.credential where alias = %s", gone.alias
    )

    async def send() -> None:
        async with (
            Line(site, device) as line,
            Line(site, gone) as ghost,
            Line(site, other) as neighbour,
        ):
            line.say([Says(device=device, seq=0).packet()])
            await line.until(lambda: 0 in stored(site, device))
            site.rows(
                "update registry.credential set valid = tstzrange(lower(valid),"
                " now() - interval '1 second') where alias = %s",
                device.alias,
            )
            for table in ("registry.broker_session", "registry.credential"):
                site.rows(f"delete from {table} where cred = %s", cred[0][0])  # noqa: S608 - two names of ours
            await asyncio.sleep(0.6)  # until intake has heard of it
            line.say([Says(device=device, seq=1).packet()])
            ghost.say([Says(device=gone, seq=0).packet()])
            neighbour.say([Says(device=other, seq=0).packet()])
            await line.until(lambda: line.refusals() == {(Code.EXPIRED, 1)})
            await line.until(lambda: counted(site, "unknown") == 1)
            await line.until(lambda: 0 in stored(site, other))
            assert ghost.told() == []

    run(send())
    flush(site)
    assert refused(site, device) == {"expired": 1}
    assert refused(site, None) == {"unknown": 1}
    assert set(stored(site, device)) == {0}
    kept = "select count(*) from store.packet where cred = %s or cred = 0"
    assert site.rows(kept, cred[0][0]) == [(0,)]
