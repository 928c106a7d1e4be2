"""Compile a patient's consent and place into the policies that seal his packets.

The clauses stand in one order and a list within a clause is sorted, so that equal
consent gives equal text. The time clause is the gateway's to add, for each day anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sealward.errors import RefusalError
from sealward.seal import policy

PURPOSES = ("care", "analysis", "research")


class ConsentError(RefusalError):
    """The consent names a purpose or a place that cannot be compiled."""

    reason = "consent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What a patient has agreed to, and where he lies.

    *ward* is a ward's code; *care* is the pseudonym by which his care team is
    named; *studies* are those that may read his trends, if *purposes* has
    ``research``.
    """

    ward: str
    care: str
    purposes: Sequence[str] = ("care",)
    studies: Sequence[str] = ()


def _leaf(text: str) -> str:
    """Return *text*, one attribute: a code is never more of a policy than that.

    Raises:
        PolicyError: it is none, or more than one.
    """
    if not isinstance(policy.tree(text), str):
        raise policy.PolicyError("a code is one attribute's value")
    return text


def compile_policies(consent: Consent) -> tuple[str, str]:
    """Return the policies of the live data and of the trends, without their time.

    Break-glass is a clause of both: nobody holds ``bg:`` until it is granted, for
    one patient and for named days.

    Raises:
        ConsentError: a purpose is unknown, or ``care`` is not among them.
        PolicyError: a code is none that the policy language can write.
    """
    unknown = set(consent.purposes) - set(PURPOSES)
    if unknown or "care" not in consent.purposes:
        raise ConsentError(f"purposes are {', '.join(PURPOSES)}, and care is needed")
    if ("research" in consent.purposes) != bool(consent.studies):
        raise ConsentError("research is consented to by naming its studies")
    for code in (f"ward:{consent.ward}", f"care:{consent.care}"):
        _leaf(code)
    care = (
        "((role:clinician or role:nurse) and "
        f"(ward:{consent.ward} or care:{consent.care}))"
    )
    clauses = [care]
    if "analysis" in consent.purposes:
        clauses.append("svc:analyst")
    research = [
        f"(role:researcher and {_leaf(f'study:{study}')})"
        for study in sorted(consent.studies)
    ]
    glass = f"bg:{consent.care}"
    live = " or ".join([*clauses, glass])
    trend = " or ".join([*clauses, *research, glass])
    for text in (live, trend):
        policy.parse(text)
    return live, trend
