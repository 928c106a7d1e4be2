"""Which device was met first at each patient's bed; kept, so that a change shows."""

from collections.abc import Iterator, MutableMapping
from pathlib import Path

from sealward import files
from sealward.errors import ConfigError
from sealward.seal import cbor


class Devices(MutableMapping[str, bytes]):
    """From a patient's display pseudonym to the SPKI of the device's identity key.

    In a file of the reader's own folder, or in memory where there is none.
    """

    def __init__(self, folder: Path | None) -> None:
        """Read ``devices.cbor`` in *folder*, if it is there."""
        self._path = folder and folder / "devices.cbor"
        self._kept: dict[str, bytes] = {}
        if self._path is not None and self._path.exists():
            kept = cbor.decode(self._path.read_bytes())
            if not isinstance(kept, dict):
                raise ConfigError(f"{self._path} is damaged")
            self._kept = kept

    def __getitem__(self, pseudonym: str) -> bytes:
        return self._kept[pseudonym]

    def __setitem__(self, pseudonym: str, spki: bytes) -> None:
        self._kept[pseudonym] = spki
        self._write()

    def __delitem__(self, pseudonym: str) -> None:
        del self._kept[pseudonym]
        self._write()

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def _write(self) -> None:
        if self._path is not None:
            files.replace(self._path, cbor.encode(self._kept))
