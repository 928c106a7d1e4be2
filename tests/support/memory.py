"""Look for bytes in the memory of a running process, with rights to look."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

CHUNK = 1 << 22  # bytes read at a time
OVERLAP = 256  # bytes; longer than anything that is looked for
_MAP = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r)\S+ \S+ \S+ \S+\s*(.*)")


def spellings(secret: bytes) -> tuple[bytes, ...]:
    """Return *secret* as it may lie in memory: as it is, and in hexadecimal digits."""
    digits = secret.hex()
    return secret, digits.encode(), digits.upper().encode()


def regions(pid: int) -> Iterator[bytes]:
    """Yield the readable memory of *pid*, in overlapping pieces."""
    maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps.splitlines():
            match = _MAP.match(line)
            if match is None or match[4] in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            at, end = int(match[1], 16), int(match[2], 16)
            while at < end:
                memory.seek(at)
                try:
                    piece = memory.read(min(CHUNK, end - at))
                except OSError:
                    break  # a mapping that nobody can read, such as a device's
                if not piece:
                    break
                yield piece
                at += max(len(piece) - OVERLAP, 1) if at + len(piece) < end else CHUNK


def found(pid: int, secrets: Mapping[str, bytes]) -> set[str]:
    """Return the names of those of *secrets* that lie in *pid*'s memory."""
    wanted = {name: spellings(secret) for name, secret in secrets.items()}
    seen: set[str] = set()
    for piece in regions(pid):
        for name, ways in wanted.items():
            if name not in seen and any(way in piece for way in ways):
                seen.add(name)
    for name in ("environ", "cmdline"):
        data = Path(f"/proc/{pid}/{name}").read_bytes()
        seen |= {n for n, ways in wanted.items() if any(way in data for way in ways)}
    return seen
