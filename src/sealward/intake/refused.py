"""Count what was refused, by credential and word, until the database keeps it."""

from collections.abc import Mapping
from hashlib import sha256

from sealward.metrics import Metrics

Counts = Mapping[tuple[int, str], tuple[int, bytes]]
"""(cred, reason) to how many, and the SHA-256 of the first; cred 0 is nobody's."""


class Refused:
    """What was refused since the last flush: a flood is one entry."""

    def __init__(self, metrics: Metrics) -> None:
        """Raise ``packets_refused`` in *metrics* with each."""
        self._metrics = metrics
        self._counts: dict[tuple[int, str], tuple[int, bytes]] = {}

    def add(self, cred: int, reason: str, body: bytes) -> None:
        """Count the packet *body* of *cred*, refused for *reason*."""
        self._metrics.add("packets_refused", reason=reason)
        known = self._counts.get((cred, reason))
        count, digest = known or (0, sha256(body).digest())
        self._counts[cred, reason] = (count + 1, digest)

    def take(self) -> Counts:
        """Return the counts, and begin anew."""
        taken, self._counts = self._counts, {}
        return taken

    def put_back(self, counts: Counts) -> None:
        """Count again what ``take`` gave and nobody could keep."""
        for key, (count, digest) in counts.items():
            more, _ = self._counts.get(key, (0, digest))
            self._counts[key] = (count + more, digest)
