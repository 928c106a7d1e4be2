"""Which numbers of a credential's day have been stored: the memory behind receipts.

A mark is advice, quick enough to refuse a flood of repeats; what decides is the
database's key on (credential, day, number).
"""

from collections.abc import Iterable
from hashlib import sha256

WINDOW = 4096  # numbers above the mark that are remembered one by one
FURTHEST = 65536  # a number so far above the mark is no honest gateway's
RANGES = 32  # a receipt names so many ranges at most (packet.md's receipt)


class Mark:
    """The numbers stored of one (credential, epoch).

    All below ``upto`` are stored, and those in ``above``. ``digest`` is the SHA-256
    of packet ``upto - 1``, empty where it must be asked of the database.
    """

    __slots__ = ("_digests", "above", "digest", "upto")

    def __init__(self, upto: int = 0, digest: bytes = b"") -> None:
        self.upto = upto
        self.above: set[int] = set()
        self.digest = digest
        self._digests: dict[int, bytes] = {}

    def knows(self, seq: int) -> bool:
        """Return whether *seq* has been stored, as far as memory goes."""
        return seq < self.upto or seq in self.above

    def stored(self, seq: int, body: bytes) -> None:
        """Remember that *seq*, the packet *body*, has been committed."""
        if self.knows(seq):
            return
        self.above.add(seq)
        self._digests[seq] = sha256(body).digest()
        while self.upto in self.above:
            self.above.discard(self.upto)
            self.digest = self._digests.pop(self.upto)
            self.upto += 1
        if len(self.above) > WINDOW:
            furthest = max(self.above)
            self.above.discard(furthest)
            self._digests.pop(furthest, None)

    @property
    def count(self) -> int:
        """How many numbers are known to be stored."""
        return self.upto + len(self.above)

    def ranges(self) -> list[tuple[int, int]]:
        """Return the stored numbers above ``upto`` as inclusive ranges, 32 at most."""
        return list(_ranges(sorted(self.above)))[:RANGES]


def _ranges(numbers: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Yield the runs of the ascending *numbers* as (first, last)."""
    first = last = -2
    for number in numbers:
        if number != last + 1:
            if first >= 0:
                yield first, last
            first = number
        last = number
    if first >= 0:
        yield first, last
