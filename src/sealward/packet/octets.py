"""The small change of the packet's plaintext: variable integers and padding."""

from sealward.errors import RefusalError

MARK = b"\x80"  # ends every plaintext; what follows is zeros
MORE = 0x80  # set in every byte of a variable integer but the last
LONGEST = 6  # bytes of a variable integer: 42 bits, and no value needs over 34


class CodecError(RefusalError):
    """These bytes are not the plaintext of a packet."""

    reason = "codec"


def zigzag(number: int) -> int:
    """Fold a signed *number* into an unsigned one: 0, -1, 1, -2 to 0, 1, 2, 3."""
    return number << 1 if number >= 0 else ~(number << 1)


def unzigzag(folded: int) -> int:
    """Unfold what :func:`zigzag` made of a number."""
    return (folded >> 1) ^ -(folded & 1)


def leb(number: int) -> bytes:
    """Return *number*, 0 <= number < 2**42, as LEB128: seven bits a byte, low first."""
    coded = bytearray()
    while number >= MORE:
        coded.append(number & 0x7F | MORE)
        number >>= 7
    coded.append(number)
    return bytes(coded)


def unleb(data: bytes, at: int, limit: int) -> tuple[int, int]:
    """Return the LEB128 integer of *data* at *at*, and where it ends.

    Raises:
        CodecError: it is cut short, longer than it needs to be, or above *limit*.
    """
    number = shift = 0
    for byte in data[at : at + LONGEST]:
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < MORE:
            if not byte and shift:
                raise CodecError("an integer ends in a zero byte")
            if number > limit:
                raise CodecError("an integer is out of its range")
            return number, at
        shift += 7
    raise CodecError("an integer has no end")


def padme(length: int) -> int:
    """Return the length to which *length* bytes are padded (PURBs, PETS 2019).

    Few lengths are left, at a cost of at most 12 %: the mantissa keeps no more bits
    than the exponent has.
    """
    if length < 2:  # noqa: PLR2004 - no logarithm to speak of
        return length
    exponent = length.bit_length() - 1
    spare = max(0, exponent - exponent.bit_length())
    return -(-length >> spare) << spare


def padded(content: bytes, least: int = 0) -> bytes:
    """Return *content*, its mark, and zeros to Padmé's length or to *least* bytes."""
    marked = content + MARK
    return marked.ljust(max(least, padme(len(marked))), b"\0")


def unpadded(data: bytes, at: int, least: int = 0) -> None:
    """Make sure that the content of *data* ends at *at*, and is padded as prescribed.

    Raises:
        CodecError: the mark is missing, or the zeros are not zeros or not as many.
    """
    if data[at : at + 1] != MARK or data.count(0, at + 1) != len(data) - at - 1:
        raise CodecError("the padding is not a mark and zeros")
    if len(data) != max(least, padme(at + 1)):
        raise CodecError("the padding has another length")
