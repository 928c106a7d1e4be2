"""Put what was admitted into the database, and know what was there before.

Synchronous, for a thread of its own; the connection is remade when it breaks.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from threading import Lock

from sealward.intake.door import DAY, SLOT, Admitted
from sealward.records import database, ingest, registry
from sealward.records.database import Connection
from sealward.records.ingest import Number, Outcome, Writer
from sealward.seal import record
from sealward.seal.envelope import Kind


def number(admitted: Admitted) -> Number:
    """Return (cred, seq, epoch) of *admitted*: what is stored once."""
    packet = admitted.packet
    return admitted.sender.cred, packet.seq, packet.epoch


def packed(admitted: Admitted) -> bytes:
    """Return the row of *admitted*, ready to be copied."""
    packet = admitted.packet
    return ingest.row(
        admitted.sender.cred,
        packet.seq,
        packet.epoch,
        packet.kind,
        packet.epoch * DAY + packet.slot * SLOT,
        admitted.body,
    )


def key_packed(admitted: Admitted, now: int) -> bytes:
    """Return the key record's row of *admitted*, a packet of kind ``key``.

    Raises:
        RefusalError: its body is no key record, or names another alias or day.
    """
    packet, sender = admitted.packet, admitted.sender
    name = record.read(packet.body).name
    if (name.alias, name.epoch, name.kid) != (sender.alias, packet.epoch, packet.kid):
        raise record.MismatchError("the record is not the one that its packet names")
    return ingest.key_row(
        sender.cred, packet.epoch, packet.kid, name.rid, packet.seq, now, admitted.body
    )


class Storeroom:
    """Intake's connection to the database; one thread at a time uses it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = Lock()
        self._connection: Connection | None = None
        self._writer: Writer | None = None

    def _open(self) -> tuple[Connection, Writer]:
        """Return the connection and its writer, made anew where they broke."""
        if self._connection is None or self._connection.closed or self._writer is None:
            self._connection = database.connect(self._url)
            self._writer = Writer(self._connection)
        return self._connection, self._writer

    def store(self, batch: Sequence[Admitted], now: int) -> Outcome:
        """Store *batch*, whose key packets were checked by ``key_packed``.

        Raises:
            UnavailableError: PostgreSQL is away; parts may be stored.
        """
        rows = [packed(each) for each in batch]
        keys = [key_packed(each, now) for each in batch if each.packet.kind == Kind.KEY]
        with self._lock:
            return self._open()[1].write_halving(rows, keys)

    def credentials(self, at: datetime) -> list[registry.Credential]:
        """Return every credential that was not over *at* that instant."""
        with self._lock:
            return registry.credentials_live(self._open()[0], at)

    def marks(self, since: int) -> dict[tuple[int, int], int]:
        """Return the marks of all that was stored from epoch *since* on."""
        with self._lock:
            return ingest.marks(self._open()[0], since)

    def digest(self, cred: int, seq: int, epoch: int) -> bytes:
        """Return the SHA-256 of a stored packet; empty if it is not there."""
        with self._lock:
            return ingest.digest(self._open()[0], cred, seq, epoch) or b""

    def refused(
        self, epoch: int, counts: Mapping[tuple[int, str], tuple[int, bytes]]
    ) -> None:
        """Count refused packets: (cred, reason) to how many and the first's digest."""
        with self._lock:
            connection, _ = self._open()
            for (cred, reason), (count, digest) in counts.items():
                ingest.refused(connection, epoch, cred, reason, digest, count)

    def receipts(self, marks: Mapping[tuple[int, int], tuple[int, bytes]]) -> None:
        """Keep the *marks*, so that the next start has less to count."""
        if marks:
            with self._lock:
                ingest.flush_receipts(self._open()[0], marks)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
