"""The codec agrees with the vectors, byte for byte, both ways."""

import json
from pathlib import Path
from typing import Any

import pytest

from sealward.packet import sr1
from sealward.packet.profile import Channel, Group

VECTORS = Path(__file__).parents[1] / "vectors/codec/codec.json"
PACKS: list[dict[str, Any]] = json.loads(VECTORS.read_text(encoding="utf-8"))["packs"]


def packs(expect: str) -> pytest.MarkDecorator:
    """Parametrise over the vectors that expect *expect*."""
    chosen = [pack for pack in PACKS if pack["expect"] == expect]
    return pytest.mark.parametrize("pack", chosen, ids=[p["name"] for p in chosen])


def group(pack: dict[str, Any], number: int) -> Group:
    """Return group *number* with the channels of *pack*."""
    channels = tuple(
        Channel(code=f"c{place}", ucum="1", ref=ref, order=order, lo=lo, hi=hi)
        for place, (ref, order, lo, hi) in enumerate(pack["channels"])
    )
    return Group(
        id=number, kind=0, period=(1, 1), max_rows=pack["max_rows"], channels=channels
    )


def decode(pack: dict[str, Any]) -> sr1.Table:
    """Decode the bytes of *pack*."""
    return sr1.decode(
        lambda number: group(pack, number),
        bytes.fromhex(pack["bytes"]),
        padded=pack["padded"],
        derived=pack["derived"],
    )


@packs("ok")
def test_a_vector_is_decoded(pack: dict[str, Any]) -> None:
    """Every field and every value is as the vector has it."""
    table = decode(pack)
    present = {
        int(number): column
        for number, column in pack["cols"].items()
        if any(value is not None for value in column)
    }
    assert (table.group, table.offset, table.rows, table.columns) == (
        pack["group"],
        pack["offset"],
        pack["rows"],
        present,
    )
    assert (list(table.source) if table.source else None) == pack["source"]


@packs("ok")
def test_a_vector_is_encoded(pack: dict[str, Any]) -> None:
    """The encoder has no freedom."""
    coded = sr1.encode(
        group(pack, pack["group"]),
        pack["offset"],
        pack["rows"],
        {int(number): column for number, column in pack["cols"].items()},
        padded=pack["padded"],
        source=pack["source"] and tuple(pack["source"]),
    )
    assert coded.hex() == pack["bytes"]


@packs("reject")
def test_a_wrong_vector_is_refused(pack: dict[str, Any]) -> None:
    """What the specification forbids is not decoded."""
    with pytest.raises(sr1.CodecError):
        decode(pack)


def test_no_vector_is_lost() -> None:
    """A file cut short would prove nothing."""
    assert [pack["expect"] for pack in PACKS].count("ok") == 19
    assert [pack["expect"] for pack in PACKS].count("reject") == 22
