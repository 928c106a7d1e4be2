"""One bed: readings become packs, packs become sealed packets in the spool.

Pure of the network: what it makes lies in the spool, and whoever sends it may come
later. A content secret is drawn anew at each start and for each day, so that no pair
of key and nonce can repeat, whatever backup a spool was restored from.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from cryptography.hazmat.primitives.asymmetric import ec

from sealward.bedside.credential import Credential, LapsedError
from sealward.errors import UnavailableError
from sealward.metrics import Metrics
from sealward.packet import event, grid, sr1
from sealward.packet.profile import VITALS_KIND, WAVE, Group, Profile
from sealward.seal import keys, signing, slip
from sealward.seal.curve import Hybrid
from sealward.seal.envelope import Kind
from sealward.seal.kem import Kem
from sealward.seal.sealing import ContentKey
from sealward.vitals.reading import Reading
from sealward.wire.spool import FullError, Spool
from sealward.wire.topics import Alias

RANDOM = 80  # bytes drawn for a record's id, its content secret and its wrapping
GRACE_MS = 200  # a pack waits for late readings by this, or a twentieth of its length
AHEAD_NS = 2_000_000_000  # a sensor's clock may lead ours by this
OLDEST = 14  # days that an old day salt may serve a gateway that stays offline
OVERHEAD = 256  # bytes that sealing and signing add at most
EVENTS_MS = 60_000  # readings that were refused are named at most so often


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A packet that lies in the spool: what may be told of it without reading it."""

    alias: str
    epoch: int
    seq: int
    kind: Kind
    size: int  # bytes
    readings: int
    seen_ns: int  # when the last of its readings came from its source
    sealed_ns: int


def longest(group: Group) -> int:
    """Return how long a pack of *group* may be, in ms."""
    num, den = group.period
    return group.max_rows * num * 1000 // den


class SaltlessError(UnavailableError):
    """No day salt is left that may still serve; sealing waits for custody."""

    reason = "saltless"


class Bed:
    """Packs, seals and spools the readings of one patient."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a bed is made of
        self,
        credential: Credential,
        identity_key: ec.EllipticCurvePrivateKey,
        profile: Profile,
        spool: Spool,
        metrics: Metrics,
        pack_ms: int,
        sealed: Callable[[Sealed], None] = lambda _: None,
    ) -> None:
        """Serve *credential*'s alias; *sealed* is told of each packet."""
        self.credential = credential
        self._identity_key = identity_key
        self._profile = profile
        self._spool = spool
        self._metrics = metrics
        self._tell = sealed
        self._kem = Kem(Hybrid())
        self._mpk = self._kem.master(credential.pins.mpk)
        self._grids = [
            (group, grid.Grid(group, min(pack_ms, longest(group))))
            for group in profile.groups
            if group.kind in (VITALS_KIND, WAVE)
        ]
        self._by_code: dict[str, grid.Grid] = {}
        for group, each in self._grids:
            for channel in group.channels:
                self._by_code.setdefault(channel.code, each)
        self._grace_ns = min(GRACE_MS, pack_ms // 20) * 1_000_000
        self._packing = Lock()  # readings come in one thread, packs leave in another
        self._content: ContentKey | None = None
        self._refused: Counter[str] = Counter()
        self._told_ms = 0
        self._seen_ns = 0  # when the newest reading came
        self._latest_ns = 0  # and what time it bears

    def take(self, reading: Reading, seen_ns: int) -> None:
        """Put *reading*, which came at *seen_ns*, into the pack of its time."""
        chosen = self._by_code.get(reading.vital)
        if chosen is None:
            self.refuse("offprofile")
            return
        if reading.at > seen_ns + AHEAD_NS:
            self.refuse("ahead")
            return
        if reading.at >= self._latest_ns:
            self._latest_ns, self._seen_ns = reading.at, seen_ns
        with self._packing:
            chosen.add(reading)
        self._metrics.add("readings")

    def refuse(self, reason: str, count: int = 1) -> None:
        """Count *count* readings that do not enter a pack, for *reason*."""
        self._refused[reason] += count
        self._metrics.add("readings_refused", count, reason=reason)

    def tick(self, now: datetime) -> int:
        """Seal what is due at *now* into the spool; return how many packets.

        A pack is due by the sensors' own time, which a replay may have in the past:
        that of the newest reading, and as much later as it came before *now*.
        """
        now_ns = int(now.timestamp() * 1_000_000_000)
        sensors = self._latest_ns + (now_ns - self._seen_ns) - self._grace_ns
        with self._packing:
            packs = [
                (group, p) for group, each in self._grids for p in each.due(sensors)
            ]
            self._count()
        return self._pack(packs, now) + self._name_refused(now)

    def close(self, now: datetime) -> int:
        """Seal what is open into the spool, at shutdown."""
        with self._packing:
            packs = [(group, p) for group, each in self._grids for p in each.close()]
            self._count()
        return self._pack(packs, now)

    def _pack(self, packs: Sequence[tuple[Group, grid.Pack]], now: datetime) -> int:
        # A day after the other, so that each has one key, and what is due before the
        # credential lapses is sealed before that is found out.
        for group, pack in sorted(packs, key=lambda each: each[1].start_ms):
            epoch, slot, offset = grid.place(pack.start_ms)
            plaintext = sr1.encode(group, offset, pack.rows, pack.columns)
            kind = Kind.VITALS if group.kind == VITALS_KIND else Kind.WAVE
            readings = sum(
                raw is not None for column in pack.columns.values() for raw in column
            )
            try:
                self._put(kind, epoch, slot, plaintext, readings, now)
            except FullError as error:  # the next pack may find room; go on reading
                self.refuse(error.reason, readings)
        return len(packs)

    def _count(self) -> None:
        """Count, by name, the readings that left a gap or came too late."""
        for _, each in self._grids:
            for reason in ("late", "offscale", "poor"):
                counted: Counter[str] = getattr(each, reason)
                if counted:
                    self.refuse(reason, counted.total())
                    counted.clear()

    def _name_refused(self, now: datetime) -> int:
        """Seal an event that names the readings refused since the last one."""
        now_ms = int(now.timestamp() * 1000)
        if not self._refused or now_ms - self._told_ms < EVENTS_MS:
            return 0
        epoch, slot, _ = grid.place(now_ms)
        details = {1: dict(sorted(self._refused.items()))}
        plaintext = event.encode("readings-refused", now_ms % grid.DAY, details)
        self._put(Kind.EVENT, epoch, slot, plaintext, 0, now)
        self._refused.clear()
        self._told_ms = now_ms
        return 1

    def _put(  # noqa: PLR0913, PLR0917 - the packet, field by field
        self,
        kind: Kind,
        epoch: int,
        slot: int,
        plaintext: bytes,
        readings: int,
        now: datetime,
    ) -> None:
        """Seal *plaintext* under the day's content key, number and spool it at once.

        A packet that was made and not stored leaves its number free and its key worn
        at that number: the next one is sealed under a new key.
        """
        content = self._key(epoch, now)
        now_ms = int(now.timestamp() * 1000)
        made = b""

        def seal(seq: int) -> bytes:
            nonlocal made
            made = content.seal(
                kind, seq, slot, plaintext, signing_key=self.credential.key
            )
            return made

        alias, room = Alias(self.credential.alias), len(plaintext) + OVERHEAD
        try:
            seq = self._spool.put(alias, epoch, kind, seal, at_ms=now_ms, room=room)
        except BaseException:
            if made:
                self._content = None
            raise
        self._metrics.add("packets_sealed", kind=kind.name.lower())
        self._tell(
            Sealed(
                alias=self.credential.alias,
                epoch=epoch,
                seq=seq,
                kind=kind,
                size=len(made),
                readings=readings,
                seen_ns=self._seen_ns,
                sealed_ns=int(now.timestamp() * 1_000_000_000),
            )
        )

    def _key(self, epoch: int, now: datetime) -> ContentKey:
        """Return the content key of *epoch*, whose record goes into the spool first.

        Raises:
            LapsedError: the credential no longer serves *epoch*.
            SaltlessError: there is no day salt for it that may still serve.
        """
        if self._content is not None and self._content.name.epoch == epoch:
            return self._content
        bed = self.credential
        if not bed.lasts(epoch):
            raise LapsedError("the credential serves its own day and the next")
        usable = [day for day in bed.salts if epoch - OLDEST <= day <= epoch]
        if not usable:
            raise SaltlessError("no day salt is left; custody must be reached")
        day = max(usable)
        content = ContentKey.make(
            self._kem,
            alias=bed.alias,
            epoch=epoch,
            purpose=keys.LIVE,
            salt=bed.salts[day],
            salt_epoch=day,
            mpk=self._mpk,
            policy_text=slip.with_time(bed.slip.live, epoch),
            policy_number=bed.slip.policy_number,
            pseudonym=bed.slip.pseudonym,
            profile_hash=self._profile.digest(),
            idevid=self._identity_key,
            ldevid=signing.spki(bed.key.public_key()),
            random=os.urandom(RANDOM),
        )
        now_ms = int(now.timestamp() * 1000)
        _, slot, _ = grid.place(now_ms)
        alias = Alias(bed.alias)
        self._spool.open_credential(alias, epoch)
        self._spool.put(
            alias,
            epoch,
            Kind.KEY,
            lambda seq: content.key_packet(seq, slot, bed.key),
            at_ms=now_ms,
        )
        self._metrics.add("packets_sealed", kind="key")
        self._content = content
        return content
