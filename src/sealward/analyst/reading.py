"""Open what may be opened: records first, then the packets sealed under them.

A reader keeps what it opened by (alias, epoch, kid) and remembers what did not open,
so that a wall of beds does not try one record again and again.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from sealward.errors import RefusalError, SealwardError, UnreadableError
from sealward.packet import event, grid, sr1
from sealward.packet.profile import Profile
from sealward.records.registry import Bed
from sealward.seal import envelope, keys, opening, signing
from sealward.seal.attributekey import AttributeKey
from sealward.seal.envelope import Envelope, Kind
from sealward.seal.kem import Kem

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec


Key = tuple[str, int, bytes]  # alias, epoch, kid
TABLES = frozenset({Kind.VITALS, Kind.WAVE})


class KeylessError(UnreadableError):
    """The reader holds no attribute key."""

    reason = "keyless"


class RecordlessError(UnreadableError):
    """The key record has not come yet; the packet opens when it has."""

    reason = "recordless"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A packet that this reader has opened."""

    bed: Bed
    packet: Envelope
    size: int  # bytes, as stored
    values: tuple[tuple[int, str, Decimal], ...] = ()  # ms since 1970, vital, value
    said: event.Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A packet that this reader cannot open, and why."""

    bed: Bed
    packet: Envelope
    size: int
    error: SealwardError


class Beds:
    """What one reader can open, of the beds that it knows of."""

    def __init__(
        self,
        kem: Kem,
        profiles: Iterable[Profile],
        devices: MutableMapping[str, bytes],
    ) -> None:
        """Know *profiles*, and each patient's pinned device.

        *devices* maps a patient's pseudonym to the SPKI of the identity key that was
        met there first. It is added to and never changed: a device that takes
        another's place is shown as such.
        """
        self._kem = kem
        self._profiles = {profile.digest(): profile for profile in profiles}
        self._devices = devices
        self._beds: dict[str, Bed] = {}
        self._public: dict[str, ec.EllipticCurvePublicKey] = {}
        self._salts: dict[UUID, dict[int, bytes]] = {}
        self._key: opening.LoadedKey | None = None
        self._opened: dict[Key, tuple[opening.OpenedRecord, Profile]] = {}
        self._failed: dict[Key, SealwardError] = {}

    def learn(self, beds: Iterable[Bed]) -> list[Bed]:
        """Know *beds*; return those that were not known before."""
        new = [bed for bed in beds if bed.alias not in self._beds]
        for bed in new:
            self._beds[bed.alias] = bed
            self._public[bed.alias] = signing.from_point65(bed.pubkey65)
        return new

    def bed(self, alias: str) -> Bed | None:
        """Return the bed that sends as *alias*, None if there is none."""
        return self._beds.get(alias)

    def all(self) -> list[Bed]:
        """Return every bed that is known."""
        return list(self._beds.values())

    def hold(self, key: AttributeKey) -> None:
        """Use the attribute *key* from now on; what did not open is tried again."""
        self._key = opening.load(self._kem, key)
        self._failed.clear()

    def salt(self, patient: UUID, salts: Mapping[int, bytes]) -> None:
        """Know *patient*'s day *salts*, by epoch; what did not open is tried again."""
        self._salts.setdefault(patient, {}).update(salts)
        self._failed.clear()

    def lacks_salt(self, patient: UUID, epoch: int) -> bool:
        """Return whether *patient*'s day salt of *epoch* is not at hand."""
        return epoch not in self._salts.get(patient, {})

    def knows_record(self, alias: str, epoch: int, kid: bytes) -> bool:
        """Return whether the record *kid* was opened, or tried and found closed."""
        key = (alias, epoch, kid)
        return key in self._opened or key in self._failed

    def take_record(self, bed: Bed, body: bytes) -> None:
        """Open the key packet *body* of *bed* and keep its keys, or why it is closed.

        Raises:
            RefusalError: it is no key packet of this bed's credential.
        """
        packet = self._verified(bed, body)
        name = (bed.alias, packet.epoch, packet.kid)
        if name in self._opened or name in self._failed:
            return
        try:
            self._opened[name] = self._open_record(bed, packet)
        except SealwardError as error:
            self._failed[name] = error

    def _verified(self, bed: Bed, body: bytes) -> Envelope:
        """Return the envelope of *body*, if *bed*'s credential signed it."""
        packet = envelope.read(body)
        envelope.verify(packet, bed.alias, self._public[bed.alias])
        return packet

    def _open_record(
        self, bed: Bed, packet: Envelope
    ) -> tuple[opening.OpenedRecord, Profile]:
        if self._key is None:
            raise KeylessError("no attribute key has been granted")
        pinned = self._devices.setdefault(bed.pseudonym, bed.device_spki)
        error: SealwardError = KeylessError("no profile is known")
        for digest, profile in self._profiles.items():
            try:
                opened = opening.open_record(
                    self._kem,
                    self._key,
                    packet.body,
                    outer=(bed.alias, packet.epoch, keys.LIVE, packet.kid),
                    salts=self._salts.get(bed.patient_id, {}),
                    pseudonym=bed.pseudonym,
                    profile_hash=digest,
                    ldevid_spki=signing.spki(self._public[bed.alias]),
                    pinned_idevid=pinned,
                )
            except opening.OtherProfileError as other:
                error = other
            else:
                return opened, profile
        raise error

    def open(self, bed: Bed, body: bytes) -> Opened | Closed:
        """Return what the packet *body* of *bed* says, or why it stays closed.

        Raises:
            RefusalError: it is no packet of this bed's credential.
        """
        packet = self._verified(bed, body)
        name = (bed.alias, packet.epoch, packet.kid)
        if packet.kind == Kind.KEY:
            self.take_record(bed, body)
        try:
            if name in self._failed:
                raise self._failed[name]
            if packet.kind == Kind.KEY:
                return Opened(bed=bed, packet=packet, size=len(body))
            if name not in self._opened:
                raise RecordlessError("its key record has not come yet")
            return self._open(bed, packet, len(body))
        except (UnreadableError, RefusalError) as error:
            return Closed(bed=bed, packet=packet, size=len(body), error=error)

    def _open(self, bed: Bed, packet: Envelope, size: int) -> Opened:
        record, profile = self._opened[bed.alias, packet.epoch, packet.kid]
        plaintext = opening.open_packet(record, packet, bed.alias)
        if packet.kind not in TABLES:
            said = event.decode(plaintext)
            return Opened(bed=bed, packet=packet, size=size, said=said)
        table = sr1.decode(profile, plaintext)
        values = grid.rows_of(table, profile, packet.epoch, packet.slot)
        return Opened(bed=bed, packet=packet, size=size, values=tuple(values))
