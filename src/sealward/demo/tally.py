"""Count what a run did: what was sealed, admitted, stored, opened; how long it took.

It learns from what the processes themselves print: a gateway names each packet that
it sealed and no reading, a reader each packet that it opened or could not.
"""

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

Name = tuple[str, int, int]  # alias, epoch, seq
DATA = frozenset({"vitals", "wave"})
RECENT = 4096  # latencies kept for the screen


def percentile(values: list[float], share: float) -> float:
    """Return the value below which *share* (0 to 1) of *values* lie, 0 if none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class Row:
    """One bed as the entitled reader sees it."""

    patient: str  # the display pseudonym
    alias: str = ""
    at_ms: int = 0
    values: dict[str, str] = field(default_factory=dict)
    opened: int = 0
    seen: float = 0.0  # when the last packet was opened, seconds since 1970


@dataclass(slots=True)
class Seen:
    """A packet as the server sees it."""

    alias: str
    kind: str
    size: int


class Tally:
    """What has happened so far. Several threads tell it; one shows it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.rows: dict[str, Row] = {}
        self.server: deque[Seen] = deque(maxlen=200)
        self.sealed: dict[Name, tuple[int, int, int]] = {}
        self.opened: set[Name] = set()
        self.readings = 0
        self.bytes = 0
        self.wire_bytes = 0
        self.from_reading: list[float] = []
        self.from_sealing: list[float] = []
        self.refused: Counter[str] = Counter()
        self.refused_opened = 0
        self.why = ""
        self.server_says = ""
        self.first_opened = 0.0

    def gateway(self, line: Mapping[str, object]) -> None:
        """Take a gateway's word on a packet that it has sealed."""
        match line:
            case {
                "event": "sealed",
                "alias": str(alias),
                "epoch": int(epoch),
                "seq": int(seq),
                "kind": str(kind),
                "size": int(size),
                "readings": int(readings),
                "seen_ns": int(seen),
                "sealed_ns": int(sealed),
            } if kind in DATA:
                with self.lock:
                    self.sealed[alias, epoch, seq] = (seen, sealed, readings)
                    self.readings += readings
                    self.bytes += size
                    self.wire_bytes += size + overhead(alias, kind, size)
            case _:
                pass

    def reader(self, line: Mapping[str, object]) -> None:
        """Take the entitled reader's word on a packet that it has opened."""
        match line:
            case {
                "event": "opened",
                "alias": str(alias),
                "epoch": int(epoch),
                "seq": int(seq),
                "kind": str(kind),
                "patient": str(patient),
                "opened_ns": int(opened_ns),
                "values": dict(values),
                "at_ms": int(at_ms),
            } if kind in DATA:
                with self.lock:
                    self._open((alias, epoch, seq), opened_ns)
                    row = self.rows.setdefault(patient, Row(patient))
                    row.alias, row.seen = alias, opened_ns / 1e9
                    row.opened += 1
                    if at_ms >= row.at_ms:
                        row.at_ms = at_ms
                        row.values |= {str(k): str(v) for k, v in values.items()}
            case _:
                pass

    def _open(self, name: Name, opened_ns: int) -> None:
        self.first_opened = self.first_opened or opened_ns / 1e9
        self.opened.add(name)
        if name in self.sealed:
            seen, sealed, _ = self.sealed[name]
            self.from_reading.append((opened_ns - seen) / 1e6)
            self.from_sealing.append((opened_ns - sealed) / 1e6)

    def outsider(self, line: Mapping[str, object]) -> None:
        """Take the refused reader's word on what it was given and could not open."""
        match line:
            case {"event": "closed", "reason": str(reason), "why": str(why)}:
                with self.lock:
                    self.refused[reason] += 1
                    self.why = why
            case {"event": "opened"}:  # of any kind: there must be none
                with self.lock:
                    self.refused_opened += 1
            case {"event": "salt-refused", "reason": str(reason), "why": str(why)}:
                with self.lock:
                    self.server_says = f"{reason}: {why}"
            case _:
                pass

    def relayed(self, alias: str, kind: str, size: int) -> None:
        """Take note of a packet as whoever relays it sees it."""
        with self.lock:
            self.server.append(Seen(alias, kind, size))


def overhead(alias: str, kind: str, size: int) -> int:
    """Return the bytes that MQTT 3.1.1 and TLS 1.3 add to a packet of *size* bytes.

    A PUBLISH at QoS 1 (fixed header, topic, packet id) in one TLS record (5 bytes of
    header, 1 of type, 16 of tag), its PUBACK not counted.
    """
    topic = len(f"telemetry/{alias}/{kind}")
    remaining = 2 + topic + 2 + size
    lengths = 1 if remaining < 128 else 2 if remaining < 16384 else 3  # noqa: PLR2004 - MQTT 3.1.1 §2.2.3
    return 1 + lengths + 2 + topic + 2 + 22
