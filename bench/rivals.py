"""A minute of readings as others would send it."""

import json
import zlib
from datetime import UTC, datetime

import cbor2
import zstandard
from bench.recordings import Columns

from sealward.packet import octets
from sealward.packet.profile import Group

START = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
DAY = f"{START:%Y-%m-%d}"
WHOSE: dict[str, object] = {
    "device_id": "wear-7f3a91c2",
    "patient_id": "3f2b8c1e-9d4a-4b7e-8f60-2a1c5d9e7b44",
}
LEVEL = 19  # of zstd: small before quick, as suits a rival
_JSON = json.JSONEncoder(separators=(",", ":"))
_SQUEEZE = zstandard.ZstdCompressor(level=LEVEL)


def stamp(row: int) -> str:
    """Return when *row* of a pack, a second each, was measured."""
    minute, second = divmod(row, 60)
    return f"{DAY}T{START.hour}:{START.minute + minute:02d}:{second:02d}Z"


def reading(vital: str, unit: str, value: float, row: int) -> dict[str, object]:
    """Return one reading as the usual stack names it, but for whose it is."""
    return {"type": vital, "value": value, "unit": unit, "timestamp": stamp(row)}


def batch(readings: list[dict[str, object]]) -> dict[str, object]:
    """Return *readings* as one message, which says once whose they are."""
    return WHOSE | {"readings": readings}


def compact(item: object) -> str:
    """Return *item* as JSON without spaces."""
    return _JSON.encode(item)


def _readings(columns: Columns, of: Group) -> list[dict[str, object]]:
    found = []
    for place, column in columns.items():
        channel = of.channels[place]
        whole = channel.den == 1
        for row, raw in enumerate(column):
            if raw is not None:
                value = (raw + channel.offset) * channel.num
                exact = value if whole else value / channel.den
                found.append(reading(channel.code, channel.ucum, exact, row))
    return found


def objects(columns: Columns, of: Group) -> bytes:
    """Return one JSON object a reading, one after the other."""
    return b"".join(compact(WHOSE | each).encode() for each in _readings(columns, of))


def array(columns: Columns, of: Group) -> bytes:
    """Return one JSON array of readings, of 240 for a minute of four vitals.

    Whose they are stands before them and not in each: a rival that packs does so.
    """
    return compact(batch(_readings(columns, of))).encode()


def zipped(columns: Columns, of: Group) -> bytes:
    """Return the array under zlib."""
    return zlib.compress(array(columns, of), 9)


def senml(columns: Columns, of: Group) -> bytes:
    """Return SenML in CBOR (RFC 8428), with a base name and time, under zstd."""
    records: list[dict[int, object]] = [
        {0: of.channels[place].code, 6: row, 2: raw}
        for place, column in columns.items()
        for row, raw in enumerate(column)
        if raw is not None
    ]
    records[0] |= {-2: "urn:dev:ow:10e2073a01080063:", -3: int(START.timestamp())}
    return _SQUEEZE.compress(cbor2.dumps(records))


def columnar(columns: Columns, _: Group) -> bytes:
    """Return columns of zigzagged differences, a varint each, under zstd."""
    out = bytearray()
    for place, column in columns.items():
        out += octets.leb(place)
        last = 0
        for raw in column:
            if raw is None:
                out += octets.leb(1)
            else:
                out += octets.leb(octets.zigzag(raw - last) + 2)
                last = raw
    return _SQUEEZE.compress(bytes(out))


FORMATS = {
    "JSON, an object a reading": objects,
    "JSON, an array": array,
    "JSON, an array under zlib": zipped,
    "SenML-CBOR under zstd": senml,
    "columns of differences under zstd": columnar,
}
