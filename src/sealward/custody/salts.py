"""Erase salts: made here, wrapped before they are stored, never handed out.

Handed out are day salts, each derived for one UTC day. The key that wraps the erase
salts (KEK) is a file apart from PostgreSQL, one a generation, so that forgetting a
generation forgets every copy that backups and logs still hold.
"""

from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from sealward import files
from sealward.errors import ConfigError
from sealward.seal import keys

LENGTH = 32  # bytes, of a KEK and of an erase salt
AHEAD = 3  # days beyond today for which a gateway may hold a day salt


def new_kek(folder: Path, generation: int, random: bytes) -> None:
    """Write the KEK of *generation*, 32 bytes of *random*, for its owner alone.

    Raises:
        FileExistsError: that generation has a KEK; it is never written over.
    """
    files.create(folder / f"kek-{generation}", random[:LENGTH])


class Vault:
    """The KEKs, by which alone an erase salt is more than 40 random bytes."""

    def __init__(self, folder: Path) -> None:
        """Read the KEKs in *folder*.

        Raises:
            ConfigError: there is none, or one is not 32 bytes long.
        """
        self._keks = {
            int(path.name.removeprefix("kek-")): path.read_bytes()
            for path in folder.glob("kek-[0-9]*")
        }
        if not self._keks or any(len(kek) != LENGTH for kek in self._keks.values()):
            raise ConfigError(f"{folder} holds no whole kek-1; custody needs it")

    @property
    def generation(self) -> int:
        """The newest generation, under which new salts are wrapped."""
        return max(self._keks)

    def wrap(self, salt: bytes, patient: UUID) -> tuple[int, bytes]:
        """Return the generation and *salt* (32 B) wrapped (40 B) for *patient*."""
        kek = self._keks[self.generation]
        key = keys.salt_wrap_key(kek, patient.bytes)
        return self.generation, keys.wrap_salt(key, salt)

    def day_salts(
        self, generation: int, wrapped: bytes, patient: UUID, epochs: Iterable[int]
    ) -> dict[int, bytes]:
        """Return the day salts of *patient* for *epochs*, by epoch.

        Raises:
            ConfigError: the generation's KEK is not here (destroyed, or lost).
        """
        if generation not in self._keks:
            raise ConfigError(f"kek-{generation} is not in custody's folder")
        key = keys.salt_wrap_key(self._keks[generation], patient.bytes)
        salt = keys.unwrap_salt(key, wrapped)
        return {epoch: keys.day_salt(salt, epoch) for epoch in epochs}
