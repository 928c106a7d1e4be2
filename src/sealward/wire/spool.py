"""Keep what is not yet certain to have arrived: a gateway's outgoing packets.

SQLite, so that a process or a battery that dies at any moment loses nothing that was
put here and gives no number twice. A receipt marks and deletes nothing: a stolen
receipt key or a restored server costs a resend, not the data.

What was sent when is remembered in memory alone; after a start all is due again, and
the server knows duplicates.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from sealward.wire.spoolstore import (
    ALARM,
    ASKED_FOR,
    KEY,
    THINNED,
    DigestError,
    FullError,
    RolledBackError,
    Store,
    gone_leaf,
    translated,
)
from sealward.wire.topics import Alias

__all__ = [
    "DigestError",
    "FullError",
    "RolledBackError",
    "Spool",
    "Spooled",
    "gone_leaf",
]

CAP = 1 << 30  # bytes of packets
_WAIT, _LONGEST = 10_000, 120_000  # ms until a resend, doubling
_RETRIED = (3, 4)  # codes that time heals: epoch, time window
_STEP = 64  # numbers by which ``shown`` runs ahead, to spare a write a packet

Key = tuple[str, int, int]  # alias, epoch, seq


@dataclass(frozen=True, slots=True)
class Spooled:
    """A packet that waits to arrive."""

    alias: Alias
    epoch: int
    seq: int
    kind: int
    body: bytes

    @property
    def key(self) -> Key:
        """Its name."""
        return self.alias, self.epoch, self.seq


@dataclass(slots=True)
class _Try:
    """How often a packet was sent, and when it is due again (ms)."""

    times: int = 0
    due: int = 0
    refused: bool = False


class Spool:
    """The packets of one gateway, of all its aliases. Safe for several threads."""

    def __init__(self, path: Path, *, cap: int = CAP) -> None:
        """Open the spool at *path*, or make it; at most *cap* bytes of packets.

        Raises:
            ConfigError: a newer Sealward made it.
            UnavailableError: the disk fails.
        """
        self._store = Store(path, cap)
        self._base = self._store.base
        self._tries: dict[Key, _Try] = {}

    def close(self) -> None:
        """Close it."""
        with self._store.lock:
            self._base.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_credential(self, alias: Alias, epoch: int) -> None:
        """Begin to number the packets of (*alias*, *epoch*); again changes nothing."""
        with self._store.change():
            self._base.execute(
                "insert or ignore into cred (alias, epoch) values (?, ?)",
                (alias, epoch),
            )

    def next_seq(self, alias: Alias, epoch: int) -> int:
        """Return how many numbers (*alias*, *epoch*) has used."""
        return self._store.number(
            "select next_seq from cred where alias = ? and epoch = ?", alias, epoch
        )

    def put(  # noqa: PLR0913 - the packet, field by field
        self,
        alias: Alias,
        epoch: int,
        kind: int,
        seal: Callable[[int], bytes],
        *,
        at_ms: int,
        room: int = 0,
    ) -> int:
        """Store the packet that *seal* makes of its number, and return the number.

        Number and packet enter in one transaction: when this returns both are on the
        disk, and when it raises (*seal*'s own exceptions included) neither is used.
        A full spool that lacks *room* bytes refuses before *seal* is called.

        Raises:
            FullError: there is no room; kinds that a record cannot lack never meet it.
            KeyError, UnavailableError: no credential was opened; the disk fails.
        """
        with self._store.change():
            row = self._base.execute(
                "select next_seq from cred where alias = ? and epoch = ?",
                (alias, epoch),
            ).fetchone()
            if row is None:
                raise KeyError("no such credential was opened")
            seq = int(row[0])
            self._store.make_room(kind, room)
            body = seal(seq)
            self._store.make_room(kind, len(body))
            self._base.execute(
                "insert into out (alias, epoch, seq, kind, body, made_at)"
                " values (?, ?, ?, ?, ?, ?)",
                (alias, epoch, seq, kind, body, at_ms),
            )
            self._base.execute(
                "insert into leaf (alias, epoch, seq, hash) values (?, ?, ?, ?)",
                (alias, epoch, seq, sha256(b"\0" + body).digest()),
            )
            following = "update cred set next_seq = ? where alias = ? and epoch = ?"
            self._base.execute(following, (seq + 1, alias, epoch))
            self._store.bytes += len(body)
        return seq

    def window(
        self, alias: Alias, now_ms: int, packets: int = 20, size: int = 256 * 1024
    ) -> list[Spooled]:
        """Return what of *alias* should be sent now, in this order.

        The window holds *packets* unreceipted ones and *size* bytes: keys first, for
        nothing can be read without them, then the newest alarms, then the oldest of
        the rest. Of these it returns what was never sent, or is due again. What was
        refused for a while leaves its place to others until it is due.
        """
        due, room = [], size
        with self._store.lock, translated():
            for spooled in self._in_order(alias):
                tried = self._tries.get(spooled.key)
                if tried is not None and tried.refused and tried.due > now_ms:
                    continue
                if packets == 0 or len(spooled.body) > room:
                    break
                packets, room = packets - 1, room - len(spooled.body)
                if tried is None or tried.due <= now_ms:
                    due.append(spooled)
            self._show(due)
        return due

    def _in_order(self, alias: Alias) -> Iterator[Spooled]:
        """Yield what waits, in order of need. Each query reads along one index."""
        urgent = f"kind in ({ALARM}, {KEY}) and kind"
        for choice in (
            f"{urgent} = {KEY} order by epoch, seq",
            f"{urgent} = {ALARM} order by epoch desc, seq desc",
            f"kind not in ({ALARM}, {KEY}) order by epoch, seq",
        ):
            query = (
                "select alias, epoch, seq, kind, body from out where alias = ?"  # noqa: S608 - texts of ours
                f" and marked_at is null and held is null and {choice}"
            )
            with closing(self._base.execute(query, (alias,))) as rows:
                for row in rows:
                    yield Spooled(*row)

    def _show(self, due: Sequence[Spooled]) -> None:
        """Remember on the disk that *due* may have been sent, some steps at a time.

        What may have been sent is never given up: the server might have it, while our
        seal said that it is gone.
        """
        for spooled in due:
            if spooled.kind in THINNED:
                self._base.execute(
                    "update cred set shown = ?"
                    " where alias = ? and epoch = ? and shown <= ?",
                    (spooled.seq + _STEP, spooled.alias, spooled.epoch, spooled.seq),
                )

    def sent(self, rows: Iterable[Spooled], now_ms: int) -> None:
        """Note that *rows* went out: due again in 10 s, then 20, at last each 120 s."""
        with self._store.lock:
            for spooled in rows:
                tried = self._postpone(spooled.key, now_ms)
                tried.times += 1
                tried.refused = False

    def _postpone(self, key: Key, now_ms: int) -> _Try:
        tried = self._tries.setdefault(key, _Try())
        tried.due = now_ms + min(_LONGEST, _WAIT << min(tried.times, 10))
        return tried

    def receipt(  # noqa: PLR0913, PLR0917 - a receipt's fields, in its order
        self,
        alias: Alias,
        epoch: int,
        upto: int,
        ranges: Iterable[tuple[int, int]],
        digest: bytes,
        now_ms: int,
    ) -> int:
        """Mark all below *upto* and the inclusive *ranges*; return how many were new.

        *digest* is the SHA-256 of packet *upto* - 1 (of a gone number its leaf, of
        none ``b""``): proof that the server holds our bytes. A receipt lower than one
        before says nothing and is ignored. The signature was checked before.

        Raises:
            RolledBackError: *upto* or a range is beyond what was ever made.
            DigestError: the server took other bytes; nothing is marked.
        """
        spans = [*ranges]
        with self._store.change():
            row = self._base.execute(
                "select next_seq, upto, last from cred where alias = ? and epoch = ?",
                (alias, epoch),
            ).fetchone()
            next_seq, known, last = row or (0, 0, None)
            if max(upto, *(end + 1 for _, end in spans), 0) > next_seq:
                raise RolledBackError("the server has more than this spool ever made")
            if upto < known:
                return 0
            ours = self._digest(alias, epoch, upto) or (last if upto == known else None)
            if ours is None and upto > 0:
                return 0  # purged, and nothing to compare: a later receipt will do
            if digest != (ours or b""):
                raise DigestError("the server holds other bytes under our number")
            self._base.execute(
                "update cred set upto = ?, last = ? where alias = ? and epoch = ?",
                (upto, digest, alias, epoch),
            )
            spans = [(0, upto - 1), *spans]
            return sum(self._mark(alias, epoch, span, now_ms) for span in spans)

    def _digest(self, alias: str, epoch: int, upto: int) -> bytes | None:
        """Return what a receipt up to *upto* must show; None if it is not known."""
        row = self._base.execute(
            "select body, gone, hash from leaf left join out using (alias, epoch, seq)"
            " where alias = ? and epoch = ? and seq = ?",
            (alias, epoch, upto - 1),
        ).fetchone()
        body, gone, leaf = row or (None, None, None)
        if leaf is not None and gone not in {None, ASKED_FOR}:
            return bytes(leaf)
        return None if body is None else sha256(body).digest()

    def _mark(self, alias: str, epoch: int, span: tuple[int, int], now_ms: int) -> int:
        first, last = span
        marked = self._base.execute(
            "update out set marked_at = ? where alias = ? and epoch = ?"
            " and seq between ? and ? and marked_at is null returning seq",
            (now_ms, alias, epoch, first, last),
        ).fetchall()
        for (seq,) in marked:
            self._tries.pop((alias, epoch, seq), None)
        return len(marked)

    def refused(
        self, alias: Alias, epoch: int, seq: int, code: int, now_ms: int
    ) -> None:
        """Note that the server refused a packet with *code* (docs: packet, receipts).

        3 and 4 are the clock's fault: it goes out again, later and later. With any
        other it is held: it leaves the window, stays here and stands in the next
        seal's list. A refusal of what does not wait says nothing.
        """
        key = alias, epoch, seq
        with self._store.change():
            waits = self._store.number(
                "select count(*) from out where alias = ? and epoch = ? and seq = ?"
                " and marked_at is null and held is null",
                *key,
            )
            if waits and code in _RETRIED:
                self._postpone(key, now_ms).refused = True
            elif waits:
                self._tries.pop(key, None)
                self._base.execute(
                    "update out set held = ? where alias = ? and epoch = ? and seq = ?",
                    (code, *key),
                )
                self._store.give_up(alias, epoch, seq, code)

    def resend(self, alias: Alias, epoch: int, first: int, last: int) -> list[int]:
        """Send *first* to *last* again, which the server has lost.

        Return those that are purged: they enter the seal's list. The caller sees to
        it that such a command is signed, newer than the last, and one a minute.
        """
        span = alias, epoch, first, last
        with self._store.change():
            for (seq,) in self._base.execute(
                "update out set marked_at = null where alias = ? and epoch = ?"
                " and seq between ? and ? returning seq",
                span,
            ).fetchall():
                self._tries.pop((alias, epoch, seq), None)
            self._base.execute(
                "update cred set upto = ?, last = null"
                " where alias = ? and epoch = ? and upto > ?",
                (first, alias, epoch, first),
            )
            purged = self._base.execute(
                "update leaf set gone = ? where alias = ? and epoch = ?"
                " and seq between ? and ? and gone is null and not exists"
                " (select 1 from out where out.alias = leaf.alias"
                "  and out.epoch = leaf.epoch and out.seq = leaf.seq) returning seq",
                (ASKED_FOR, *span),
            ).fetchall()
        return sorted(seq for (seq,) in purged)

    def purge(self, now_ms: int) -> int:
        """Delete what has been marked for 48 h, or the oldest marked above 80 % full.

        Return how many went. Only what lies below a receipt's ``upto`` goes: the next
        one may have to show its digest.
        """
        with self._store.change():
            return self._store.purge(now_ms)

    def full(self) -> bool:
        """Say whether the cap is reached: time for a technical alarm."""
        return self._store.bytes >= self._store.cap

    def leaves(self, alias: Alias, epoch: int) -> list[bytes]:
        """Return the leaf of each number so far, in order, for a seal's root."""
        with self._store.lock, translated():
            rows = self._base.execute(
                "select hash from leaf where alias = ? and epoch = ? order by seq",
                (alias, epoch),
            ).fetchall()
        return [bytes(leaf) for (leaf,) in rows]

    def missing(self, alias: Alias, epoch: int) -> list[tuple[int, int]]:
        """Return (seq, reason) of each number that a seal must list as absent."""
        with self._store.lock, translated():
            return self._base.execute(
                "select seq, gone from leaf where alias = ? and epoch = ?"
                " and gone is not null order by seq",
                (alias, epoch),
            ).fetchall()

    def forget(self, alias: Alias, epoch: int) -> None:
        """Drop all of a credential whose final seal is receipted and old."""
        with self._store.change():
            for table in ("leaf", "out", "cred"):
                self._base.execute(
                    f"delete from {table} where alias = ? and epoch = ?",  # noqa: S608 - three names of ours
                    (alias, epoch),
                )
            self._store.count()
        with self._store.lock:
            for key in [k for k in self._tries if k[:2] == (alias, epoch)]:
                del self._tries[key]

    def states(self) -> dict[str, int]:
        """Return how many are ``spooled``, ``sent``, ``marked`` and ``held``."""
        waiting = "select count(*) from out where marked_at is null and held is"
        with self._store.lock:
            sent = sum(1 for tried in self._tries.values() if tried.times)
            return {
                "spooled": self._store.number(f"{waiting} null") - sent,
                "sent": sent,
                "marked": self._store.number(
                    "select count(*) from out where marked_at is not null"
                ),
                "held": self._store.number(f"{waiting} not null"),
            }
