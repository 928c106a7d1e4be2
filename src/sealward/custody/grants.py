"""The granting table: the only list of attributes that anybody may be granted.

Time (``t.day``, ``t.month``, ``t.year``) is the authority's to add, day by day, and
``bg`` is nobody's: both are refused here, from whomever they come.
"""

from collections.abc import Sequence

from sealward.errors import RefusalError
from sealward.seal import policy

HELD = frozenset(
    {
        "role",  # clinician, nurse, researcher, self: renewed daily
        "ward",  # a ward's code: renewed daily
        "site",  # a site's code: renewed daily
        "care",  # patient's pseudonym of the month: the members of his care team
        "patient",  # the same: the patient himself, with role:self
        "study",  # a study's code: researchers, to the study's end
        "svc",  # analyst: the analyst process
        "plan",  # a short-term plan's random id
        "kin",  # a relative's random share
        "identity",  # read: who may see names
        "coc",  # standdown: who may end a livestream
        "display",  # a ward's code: wall screens, live only
    }
)
ROLES = frozenset({"clinician", "nurse", "researcher", "self"})


class UngrantableError(RefusalError):
    """The attribute is not in the granting table."""

    reason = "ungrantable"


def check(attributes: Sequence[str]) -> None:
    """Refuse *attributes* unless each of them may be granted to somebody.

    Raises:
        UngrantableError: a key is not in the table, a role is unknown, or one repeats.
    """
    if len(set(attributes)) != len(attributes) or not attributes:
        raise UngrantableError("name each attribute once, and one at least")
    for attribute in attributes:
        if not isinstance(policy.parse(attribute), str):
            raise UngrantableError("this is a policy, not an attribute")
        key, _, value = attribute.partition(":")
        role = value.partition("~")[0]
        if key not in HELD or (key == "role" and role not in ROLES):
            raise UngrantableError(f"nobody is granted {key}:")
