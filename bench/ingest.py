"""Admit and store exactly once, beside the bare signature check."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import repeat

from bench.clocks import cpu, often, quotient
from bench.senders import EPOCH, NOW, Senders, Sent, admit, bare, busy, keep, mark
from bench.senders import postgres as started
from bench.table import Row

from sealward.intake.door import Admitted, Door, ReplayedError
from sealward.intake.store import Storeroom, packed
from sealward.records.postgres import Server
from sealward.seal import envelope

GATEWAYS = 50
BATCH = 1000  # packets a transaction
ROUNDS = 21
PARTS = 7  # rounds in which the parts are timed


def rows() -> Iterator[Row]:
    """Measure the door and the storeroom on a database of their own."""
    with started() as server:
        senders = Senders(server, GATEWAYS)
        door = Door()
        door.learn(senders.rows)
        with closing(Storeroom(server.url("intake"))) as store:
            store.marks(EPOCH)  # connects
            keep(door, store, senders.batch(BATCH))
            yield from _whole(server, senders, door, store)
            yield from _parts(senders, door, store)
        yield _replayed(door, senders.batch(1)[0])


def _whole(
    server: Server, senders: Senders, door: Door, store: Storeroom
) -> Iterator[Row]:
    """Take turns with the bare check; all that PostgreSQL does meanwhile counts."""
    clock = busy(server)
    before = clock()
    checked, kept = [], []
    for _ in range(ROUNDS):
        batch = senders.batch(BATCH)
        checked.append(cpu(partial(bare, batch)))
        kept.append(cpu(partial(keep, door, store, batch)))
    database = (clock() - before) / ROUNDS
    whole = [each + database for each in kept]
    median = statistics.median(whole) / BATCH
    yield Row(
        what="a bare P-256 verify / admitted and stored once",
        value=quotient(checked, whole),
        unit="x",
        least=0.75,
        room=0.05,
    )
    yield Row(
        what="admitted and stored once, PostgreSQL's CPU included",
        value=1 / median,
        unit="packets a second and core",
    )
    yield Row(
        what="a packet admitted and stored once",
        value=median * 1e6,
        unit="us",
        also={
            "us in this process": statistics.median(kept) / BATCH * 1e6,
            "us in PostgreSQL's": database / BATCH * 1e6,
            "us a bare verify": statistics.median(checked) / BATCH * 1e6,
        },
    )


def _parts(senders: Senders, door: Door, store: Storeroom) -> Iterator[Row]:
    """Say where this process's time goes."""
    taken: dict[str, list[float]] = {}

    def part(name: str, act: Callable[[], object]) -> None:
        taken.setdefault(name, []).append(cpu(act))

    for _ in range(PARTS):
        batch = senders.batch(BATCH)
        admitted: list[Admitted] = []
        part("bare", partial(bare, batch))
        part("read", partial(_read, batch))
        part("admit", partial(_admit, door, batch, admitted))
        part("pack", partial(_pack, admitted))
        part("store", partial(store.store, admitted, NOW))
        part("mark", partial(mark, admitted))
    us = {name: statistics.median(each) / BATCH * 1e6 for name, each in taken.items()}
    yield Row(
        what="of it: the signature's check itself",
        value=us["bare"],
        unit="us",
    )
    yield Row(
        what="of it: taking the packet's outside apart", value=us["read"], unit="us"
    )
    yield Row(
        what="of it: all else at the door",
        value=us["admit"] - us["bare"] - us["read"],
        unit="us",
    )
    yield Row(what="of it: packing the row", value=us["pack"], unit="us")
    yield Row(
        what="of it: COPY and COMMIT, our side",
        value=us["store"] - us["pack"],
        unit="us",
    )
    yield Row(what="of it: remembering the number", value=us["mark"], unit="us")


def _admit(door: Door, batch: Sequence[Sent], into: list[Admitted]) -> None:
    into += admit(door, batch)


def _pack(admitted: Sequence[Admitted]) -> None:
    for each in admitted:
        packed(each)


def _read(batch: Sequence[Sent]) -> None:
    for sent in batch:
        envelope.read(sent.packet)


def _replayed(door: Door, sent: Sent) -> Row:
    """Refuse a packet that was stored before, before any public-key work."""
    mark(admit(door, [sent]))

    def refused() -> None:
        try:
            door.admit(sent.alias, "vitals", sent.packet, NOW)
        except ReplayedError:
            return
        raise RuntimeError("a replayed packet was admitted")

    times = 1000
    act = often(refused, times)
    found = [cpu(act) / times * 1e6 for _ in repeat(None, 15)]
    return Row(
        what="a replayed packet refused",
        value=statistics.median(found),
        unit="us",
        most=5,
        room=0.2,
    )
