"""Read what gateways and database hold, number by number: nothing lost or doubled."""

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from tests.support.site import Ward

from sealward.seal import envelope
from sealward.seal.envelope import Kind

Name = tuple[str, int, int]  # alias, epoch, seq
DATA = (Kind.VITALS, Kind.WAVE)
_STORED = (
    "select c.alias, p.day - '1970-01-01'::date, p.seq, p.kind, p.body"
    " from store.packet p join registry.credential c using (cred)"
)
_CONFLICTS = (
    "select coalesce(sum(n), 0) from store.refused where reason = 'conflicting'"
)


@dataclass
class Ledger:
    """One look at every spool of a site, and at its database."""

    numbered: dict[tuple[str, int], int] = field(default_factory=dict)
    spooled: dict[Name, bytes] = field(default_factory=dict)  # name to body
    leaves: dict[Name, bytes] = field(default_factory=dict)
    waiting: set[Name] = field(default_factory=set)  # not receipted
    held: set[Name] = field(default_factory=set)  # refused for good
    stored: dict[Name, bytes] = field(default_factory=dict)
    kinds: dict[Name, int] = field(default_factory=dict)  # of what is stored
    doubled: list[Name] = field(default_factory=list)
    conflicts: int = 0  # packets refused since other bytes have their number

    def expected(self) -> set[Name]:
        """Return every number that was ever given to a packet."""
        return {
            (alias, epoch, seq)
            for (alias, epoch), following in self.numbered.items()
            for seq in range(following)
        }

    def lost(self) -> set[Name]:
        """Return the numbers of which neither a spool nor the database has a packet."""
        return self.expected() - self.spooled.keys() - self.stored.keys()

    def unsaid(self) -> set[Name]:
        """Return what is stored under a number that no spool has given out."""
        return self.stored.keys() - self.expected()

    def differing(self) -> set[Name]:
        """Return the numbers whose bytes are not the same everywhere."""
        return {
            name
            for name, body in self.stored.items()
            if self.spooled.get(name, body) != body
            or self.leaves.get(name) != sha256(b"\0" + body).digest()
        }

    def repeated(self) -> set[tuple[bytes, int]]:
        """Return the pairs of content key and number that seal two plaintexts."""
        seen: dict[tuple[bytes, int], bytes] = {}
        found = set()
        for name, body in [*self.stored.items(), *self.spooled.items()]:
            packet = envelope.read(body)
            pair = name[0].encode() + packet.kid, packet.seq
            if seen.setdefault(pair, body) != body:
                found.add(pair)
        return found

    def secrets(self) -> dict[str, list[bytes]]:
        """Return for each alias its content keys, in the order of their records."""
        found: dict[str, list[bytes]] = {}
        for name in sorted(self.expected()):
            body = self.stored.get(name) or self.spooled.get(name)
            if body and (packet := envelope.read(body)).kind == Kind.KEY:
                found.setdefault(name[0], []).append(packet.kid)
        return found

    def data(self) -> set[Name]:
        """Return the names of the stored packets that carry readings."""
        return {name for name, kind in self.kinds.items() if kind in DATA}

    def settled(self) -> bool:
        """Say whether all that was sealed is stored, and every spool knows it."""
        return self.expected() == self.stored.keys() and not self.waiting

    def check(self) -> None:
        """Assert that nothing is lost, doubled, changed or sealed twice."""
        assert not self.lost()
        assert not self.doubled
        assert not self.unsaid()
        assert not self.differing()
        assert not self.repeated()
        assert not self.conflicts
        assert not self.held
        for kids in self.secrets().values():
            assert len(kids) == len(set(kids)), "a start has no secret of its own"


def look(site: Ward) -> Ledger:
    """Return what *site* holds now: the database first, for it only grows."""
    ledger = Ledger()
    count: Counter[Name] = Counter()
    for alias, epoch, seq, kind, body in site.rows(_STORED):
        assert isinstance(body, bytes)
        name = str(alias), int(str(epoch)), int(str(seq))
        count[name] += 1
        ledger.stored[name], ledger.kinds[name] = body, int(str(kind))
    ledger.doubled = [name for name, times in count.items() if times > 1]
    ((conflicts,),) = site.rows(_CONFLICTS)
    ledger.conflicts = int(str(conflicts))
    for path in site.site.root.glob("gateway-*/spool.db"):
        _enter(path, ledger)
    return ledger


def _enter(spool: Path, ledger: Ledger) -> None:
    """Enter what *spool* holds into *ledger*."""
    with closing(sqlite3.connect(spool, timeout=10)) as base:
        base.execute("begin")  # one state, however busy the gateway is
        for alias, epoch, following in base.execute(
            "select alias, epoch, next_seq from cred"
        ):
            ledger.numbered[alias, epoch] = following
        for alias, epoch, seq, body, marked, held in base.execute(
            "select alias, epoch, seq, body, marked_at, held from out"
        ):
            name = alias, epoch, seq
            ledger.spooled[name] = body
            if held is not None:
                ledger.held.add(name)
            elif marked is None:
                ledger.waiting.add(name)
        for alias, epoch, seq, leaf in base.execute(
            "select alias, epoch, seq, hash from leaf"
        ):
            ledger.leaves[alias, epoch, seq] = leaf


def drain(site: Ward, folder: Path, times: int = 5) -> None:
    """Let the gateways of *site*, all of them stopped, send what waits in their spools.

    Each seals meanwhile a recording of a second, kept in *folder*, so that it ends by
    itself, once all is receipted.
    """
    second = folder / "second.csv"
    second.write_text("hr\n70\n", encoding="utf-8")
    for _ in range(times):
        aliases = {alias for alias, _, _ in look(site).waiting}
        late = [
            path
            for path in site.site.root.glob("gateway-*")
            if any((path / "bed-0" / alias).is_dir() for alias in aliases)
        ]
        for path in late:
            arguments = ("--folder", str(path), "--replay", str(second))
            done = site.sealward("bedside", *arguments)
            assert done.returncode == 0, done.stderr
        if not late:
            return
