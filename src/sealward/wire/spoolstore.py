"""Hold the spool's file: its tables, its transactions and the room in it."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from sealward.errors import ConfigError, RefusalError, UnavailableError

WAVE, VITALS, ROLLUP, ALARM, KEY = 1, 0, 2, 5, 6  # kinds (docs: packet)
THINNED = (WAVE, VITALS, ROLLUP)  # what is given up first, if something must be
GIVEN_UP, ASKED_FOR = 0, 9  # reasons in a seal's list, beside the codes of refusals
KEPT = 48 * 3_600_000  # ms that a marked packet is kept
_FULL = 0.8  # of the cap; above, marked packets go sooner
_VERSION = 1  # PRAGMA user_version

_SCHEMA = f"""
create table cred (
  alias text not null, epoch integer not null,
  next_seq integer not null default 0,
  upto integer not null default 0,   -- of the last receipt that was believed
  last blob,                         -- its digest, of packet upto-1; null if unknown
  shown integer not null default 0,  -- of what is thinned, none from here on was sent
  primary key (alias, epoch)
) without rowid;

create table out (
  alias text not null, epoch integer not null, seq integer not null,
  kind integer not null, body blob not null,
  made_at integer not null,          -- milliseconds
  marked_at integer,                 -- receipted
  held integer,                      -- refused for good, with this code
  primary key (alias, epoch, seq)
);
create index waiting on out (alias, epoch, seq, kind)
  where marked_at is null and held is null;
create index urgent on out (alias, kind, epoch, seq)
  where marked_at is null and held is null and kind in ({ALARM}, {KEY});
create index oldest on out (kind, made_at)
  where marked_at is null and held is null;
create index marked on out (marked_at) where marked_at is not null;

create table leaf (                  -- kept to the final seal, whatever is purged
  alias text not null, epoch integer not null, seq integer not null,
  hash blob not null,                -- SHA-256(00 || packet), or a gone number's
  gone integer,                      -- the reason in the seal's list
  primary key (alias, epoch, seq)
) without rowid;
"""


class RolledBackError(RefusalError):
    """The server has more than we ever made: this spool is an old copy.

    Numbers would be used twice; stop, and renew the alias.
    """

    reason = "rolledback"


class DigestError(RefusalError):
    """The server has taken other bytes under our number; nothing was marked."""

    reason = "digest"


class FullError(RefusalError):
    """There is no room for this packet, and nothing less needed to give up."""

    reason = "full"


def gone_leaf(seq: int) -> bytes:
    """Return the leaf of a number that was given up (docs: packet, seal)."""
    return sha256(b"\0gone" + seq.to_bytes(8, "big")).digest()


class Store:
    """The file of a spool, for several threads, with *cap* bytes of packets."""

    def __init__(self, path: Path, cap: int) -> None:
        """Open *path*, or make it, 0600.

        Raises:
            ConfigError: a newer Sealward made it.
            UnavailableError: the disk fails.
        """
        path.touch(mode=0o600)
        self.cap = cap
        self.lock = threading.RLock()
        self.base = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=10
        )
        with translated():
            self.base.execute("pragma journal_mode = wal")
            self.base.execute("pragma synchronous = full")
        version = self.number("pragma user_version")
        if version > _VERSION:
            raise ConfigError(f"{path}: made by a newer Sealward")
        if version < _VERSION:
            with translated():
                self.base.executescript(
                    f"begin; {_SCHEMA} pragma user_version = {_VERSION}; commit;"
                )
        self.count()

    def count(self) -> None:
        """Learn how many bytes of packets there are."""
        self.bytes = self.number("select coalesce(sum(length(body)), 0) from out")

    def number(self, query: str, *values: object) -> int:
        """Return the one number that *query* finds, 0 if it finds nothing."""
        with self.lock, translated():
            row = self.base.execute(query, values).fetchone()
            return 0 if row is None else int(row[0])

    @contextmanager
    def change(self) -> Iterator[None]:
        """Make all changes of the block, or none.

        Raises:
            UnavailableError: the disk fails, and none was made.
        """
        with self.lock, translated():
            before = self.bytes
            self.base.execute("begin immediate")
            try:
                yield
                self.base.execute("commit")
            except BaseException:
                self.bytes = before
                if self.base.in_transaction:  # some failures of a disk end it
                    self.base.execute("rollback")
                raise

    def purge(self, now_ms: int) -> int:
        """Delete what has been marked for 48 h, or the oldest marked while too full.

        Return how many went. Within a change.
        """
        before = self.base.total_changes
        self._delete("marked_at <= ?", now_ms - KEPT)
        self._delete_oldest(self.bytes - int(_FULL * self.cap))
        return self.base.total_changes - before

    def make_room(self, kind: int, size: int) -> None:
        """Free *size* bytes for a packet of *kind*, within a change.

        First what is marked, then the oldest waves, vitals and rollups that were
        never sent, none of a kind more needed than *kind*. All other kinds are few
        and small, and stored above the cap.

        Raises:
            FullError: that is not enough.
        """
        self._delete_oldest(self.bytes + size - self.cap)
        rank = THINNED.index(kind) if kind in THINNED else len(THINNED)
        for lesser in THINNED[: rank + 1]:
            while self.bytes + size > self.cap and self._thin(lesser):
                pass
        if self.bytes + size > self.cap and kind in THINNED:
            raise FullError("the spool is full: the server gives no receipts")

    def _delete(self, which: str, *values: object) -> None:
        """Delete marked packets, but none that a receipt may have to show yet."""
        rows = self.base.execute(
            "delete from out where rowid in (select out.rowid from out"  # noqa: S608 - two texts, both ours
            " join cred using (alias, epoch)"
            f" where marked_at is not null and seq < upto and {which})"
            " returning length(body)",
            values,
        ).fetchall()
        self.bytes -= sum(size for (size,) in rows)

    def _delete_oldest(self, over: int) -> None:
        """Delete the oldest marked packets until *over* bytes are free."""
        if over > 0:
            self._delete(
                "out.rowid in (select number from (select out.rowid as number,"
                " sum(length(body)) over (order by marked_at, out.rowid)"
                " - length(body) as before from out join cred using (alias, epoch)"
                " where marked_at is not null and seq < upto) where before < ?)",
                over,
            )

    def _thin(self, kind: int) -> bool:
        """Give up the oldest packet of *kind*, if there is one."""
        row = self.base.execute(
            "select out.rowid, alias, epoch, seq, length(body)"
            " from out join cred using (alias, epoch) where kind = ?"
            " and marked_at is null and held is null and seq >= shown"
            " order by made_at limit 1",
            (kind,),
        ).fetchone()
        if row is None:
            return False
        rowid, alias, epoch, seq, size = row
        self.base.execute("delete from out where rowid = ?", (rowid,))
        self.give_up(alias, epoch, seq, GIVEN_UP)
        self.bytes -= size
        return True

    def give_up(self, alias: str, epoch: int, seq: int, why: int) -> None:
        """Replace a number's leaf, for a seal that lists it with the reason *why*."""
        self.base.execute(
            "update leaf set hash = ?, gone = ?"
            " where alias = ? and epoch = ? and seq = ?",
            (gone_leaf(seq), why, alias, epoch, seq),
        )


@contextmanager
def translated() -> Iterator[None]:
    """Turn a disk that fails into ``UnavailableError``; let a wrong query fail."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise UnavailableError(f"the spool: {error}") from error
