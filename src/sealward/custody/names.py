"""Names that mean nothing: the patient's UID, the display pseudonym, the alias.

All are drawn from bytes that the caller gives. The UID belongs in the registry, in
sealed plaintext and nowhere else; never in a topic, a header, a certificate or a log.
"""

from typing import NewType

from sealward.errors import RefusalError

PatientUid = NewType("PatientUid", str)
Pseudonym = NewType("Pseudonym", str)

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ALIAS = "abcdefghijklmnopqrstuvwxyz234567"  # 5 bits a symbol, RFC 4648 in lower case
_SYMBOLS = 15  # of a UID, beside its check symbol: 75 random bits
_PSEUDONYM = 12  # symbols, 60 random bits
_ALIAS_LENGTH = 26  # symbols, 130 random bits


class UidError(RefusalError):
    """These symbols are not a patient UID: length, alphabet or check symbol."""

    reason = "uid"


def _draw(alphabet: str, symbols: int, random: bytes) -> str:
    """Return *symbols* of the 32-letter *alphabet*, one byte of *random* for each."""
    return "".join(alphabet[byte & 31] for byte in random[:symbols])


def check_symbol(body: str) -> str:
    """Return the Luhn mod-32 check symbol of *body*, symbols of ``CROCKFORD``.

    From the right, every second symbol counts double, and a doubled symbol counts
    as the sum of its two digits to the base 32.
    """
    total = 0
    for place, symbol in enumerate(reversed(body)):
        value = CROCKFORD.index(symbol) * (1 if place % 2 else 2)
        total += value // 32 + value % 32
    return CROCKFORD[-total % 32]


def patient_uid(random: bytes) -> PatientUid:
    """Return a new UID of 15 symbols and their check, from 15 bytes of *random*.

    Raises:
        UidError: *random* gives fifteen equal symbols; draw again.
    """
    body = _draw(CROCKFORD, _SYMBOLS, random)
    if len(set(body)) == 1:
        raise UidError("fifteen equal symbols are never issued")
    return PatientUid(body + check_symbol(body))


def read_uid(text: str) -> PatientUid:
    """Return the UID that a person wrote as *text*, with or without hyphens.

    Case is folded and ``I``, ``L`` and ``O`` are read as the digits they resemble.

    Raises:
        UidError: the length, a symbol or the check symbol is wrong.
    """
    folded = text.upper().replace("-", "").replace(" ", "")
    symbols = folded.translate(str.maketrans("ILO", "110"))
    body = symbols[:-1]
    if len(symbols) != _SYMBOLS + 1 or not set(symbols) <= set(CROCKFORD):
        raise UidError("a UID has 16 symbols of Crockford's base 32")
    if len(set(body)) == 1 or check_symbol(body) != symbols[-1]:
        raise UidError("the check symbol does not fit")
    return PatientUid(symbols)


def shown(uid: PatientUid) -> str:
    """Return *uid* in groups of four, as people read it."""
    return "-".join(uid[at : at + 4] for at in range(0, len(uid), 4))


def pseudonym(random: bytes) -> Pseudonym:
    """Return a display pseudonym, 12 symbols in lower case, from 12 random bytes."""
    return Pseudonym(_draw(CROCKFORD.lower(), _PSEUDONYM, random))


def alias(random: bytes) -> str:
    """Return an alias, 26 symbols ``[a-z2-7]``, from 26 random bytes."""
    return _draw(_ALIAS, _ALIAS_LENGTH, random)
