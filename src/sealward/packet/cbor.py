"""Deterministic CBOR (RFC 8949 §4.2.1), and a reader that takes nothing else.

General readers tolerate odd encodings and resolve tags, some at a great cost; this
one knows neither tags nor indefinite lengths, and its work is linear in the bytes.
"""

import math
import struct
from collections.abc import Mapping, Sequence

from sealward.packet.octets import CodecError

DEPTH = 8  # levels of arrays and maps; an alarm's evidence needs six

_SIMPLE = {False: 0xF4, True: 0xF5, None: 0xF6}
_VALUES: Mapping[int, bool | None] = {20: False, 21: True, 22: None}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _OTHER = range(8)
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}  # additional information to bytes that follow


def dumps(item: object) -> bytes:
    """Return *item* as deterministic CBOR.

    *item* is None, a bool, an int of 64 bits, a float, bytes, text, or a sequence
    or mapping of such; a float takes the shortest form that holds it.

    Raises:
        TypeError: it is of another type.
        ValueError: it is a number that this form cannot hold.
    """
    if item is None or isinstance(item, bool):
        return bytes([_SIMPLE[item]])
    if isinstance(item, int):
        return _head(_UINT, item) if item >= 0 else _head(_NEGATIVE, ~item)
    if isinstance(item, float):
        return _float(item)
    return _string(item) if isinstance(item, bytes | str) else _container(item)


def _string(item: bytes | str) -> bytes:
    """Return *item* with its head."""
    if isinstance(item, bytes):
        return _head(_BYTES, len(item)) + item
    text = item.encode()
    return _head(_TEXT, len(text)) + text


def _container(item: object) -> bytes:
    """Return an array or a map with all that it holds, keys in bytewise order."""
    if isinstance(item, Sequence):
        return _head(_ARRAY, len(item)) + b"".join(map(dumps, item))
    if isinstance(item, Mapping):
        pairs = sorted((dumps(key), dumps(value)) for key, value in item.items())
        return _head(_MAP, len(item)) + b"".join(key + value for key, value in pairs)
    raise TypeError(f"CBOR has no form for {type(item).__name__} here")


def _head(major: int, number: int) -> bytes:
    """Return the shortest head of *major* type and *number*."""
    if number < min(_WIDTHS):
        return bytes([major << 5 | number])
    for extra, width in _WIDTHS.items():
        if number < 1 << 8 * width:
            return bytes([major << 5 | extra]) + number.to_bytes(width, "big")
    raise ValueError("CBOR's integers have 64 bits")


def _float(number: float) -> bytes:
    """Return *number* in the shortest float that holds it."""
    if not math.isfinite(number):
        raise ValueError("a float here is finite")
    for extra, form in _FLOATS.items():
        try:
            coded = struct.pack(form, number)
        except OverflowError:
            continue
        if struct.unpack(form, coded)[0] == number:
            return bytes([_OTHER << 5 | extra]) + coded
    raise ValueError("a double holds every float")  # pragma: no cover


def loads(data: bytes) -> object:
    """Return the one item that *data* is; arrays become lists, maps dicts.

    Raises:
        CodecError: it is not deterministic, holds a tag, nests too deeply, ends
            early or goes on.
    """
    item, end = item_at(data, 0)
    if end != len(data):
        raise CodecError("bytes follow the item")
    return item


def item_at(data: bytes, at: int, depth: int = DEPTH) -> tuple[object, int]:
    """Return the item of *data* that begins at *at*, and where it ends.

    Raises:
        CodecError: as :func:`loads`, but that more may follow.
    """
    if at >= len(data):
        raise CodecError("an item is missing")
    major, extra = data[at] >> 5, data[at] & 31
    if major == _OTHER:
        return _other(data, at, extra)
    number, at = _number(data, at + 1, extra)
    if major in {_UINT, _NEGATIVE}:
        return (number if major == _UINT else ~number), at
    if number > len(data) - at:  # every item takes a byte: no room is made for air
        raise CodecError("an item is cut short")
    if major in {_BYTES, _TEXT}:
        return _text(data[at : at + number], major), at + number
    if not depth:
        raise CodecError("items are nested too deeply")
    if major == _ARRAY:
        return _array(data, at, number, depth - 1)
    if major == _MAP:
        return _map(data, at, number, depth - 1)
    raise CodecError("tags have no place here")


def _number(data: bytes, at: int, extra: int) -> tuple[int, int]:
    """Return the number of the head whose additional information is *extra*."""
    if extra < min(_WIDTHS):
        return extra, at
    width = _WIDTHS.get(extra, 0)
    end = at + width
    number = int.from_bytes(data[at:end], "big")
    least = min(_WIDTHS) if width == 1 else 1 << 4 * width
    if not width or end > len(data) or number < least:
        raise CodecError("a head is not the shortest")
    return number, end


def _text(raw: bytes, major: int) -> bytes | str:
    """Return *raw*, as text if its *major* type says so."""
    try:
        return raw.decode() if major == _TEXT else raw
    except UnicodeDecodeError:
        raise CodecError("text is not UTF-8") from None


def _array(data: bytes, at: int, count: int, depth: int) -> tuple[list[object], int]:
    """Return the *count* items that begin at *at*."""
    items = []
    for _ in range(count):
        item, at = item_at(data, at, depth)
        items.append(item)
    return items, at


def _map(data: bytes, at: int, count: int, depth: int) -> tuple[object, int]:
    """Return the *count* pairs that begin at *at*; their keys must ascend."""
    pairs: dict[int | str, object] = {}
    before = b""
    for _ in range(count):
        start = at
        key, at = item_at(data, at, 0)
        if not isinstance(key, int | str) or isinstance(key, bool):
            raise CodecError("a key is neither integer nor text")
        if data[start:at] <= before:
            raise CodecError("keys are out of order or double")
        before = data[start:at]
        pairs[key], at = item_at(data, at, depth)
    return pairs, at


def _other(data: bytes, at: int, extra: int) -> tuple[float | bool | None, int]:
    """Return the float or simple value at *at*."""
    if extra in _VALUES:
        return _VALUES[extra], at + 1
    end = at + 1 + _WIDTHS.get(extra, 0)
    if extra not in _FLOATS or end > len(data):
        raise CodecError("neither a float nor a simple value")
    number: float = struct.unpack(_FLOATS[extra], data[at + 1 : end])[0]
    if not math.isfinite(number) or _float(number) != data[at:end]:
        raise CodecError("a float is not the shortest")
    return number, end
