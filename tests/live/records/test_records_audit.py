"""What was written in the audit chains cannot be changed unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sealward.records import audit
from sealward.records.audit import Break

if TYPE_CHECKING:
    from tests.live.records.conftest import Ward

CHAIN = "sealward_research"  # no other test writes there more than a line
SWAP = """
  update audit.entry e set actor = o.actor, detail = o.detail from audit.entry o
  where o.chain = e.chain and e.chain = %s and o.n <> e.n
    and e.n in ({0}, {0} + 1) and o.n in ({0}, {0} + 1)"""
TAMPERINGS = {  # what is done to entry {0}, and how far from it the break shows
    "act": ("update audit.entry set act = '' where (chain, n) = (%s, {0})", 0),
    "detail": ("update audit.entry set detail = '1' where (chain, n) = (%s, {0})", 0),
    "time": ("update audit.entry set at = 'now' where (chain, n) = (%s, {0})", 0),
    "deletion": ("delete from audit.entry where (chain, n) = (%s, {0})", 1),
    "swap": (SWAP, 0),
    "tail": ("delete from audit.entry where chain = %s and n > {0}", 2),
}


def write(ward: Ward) -> int:
    """Append four entries; return the number of the first."""
    with ward.connect("research") as research:
        numbers = [
            audit.append(research, f"actor{n}", "study.run", "s", {"a": 1, "n": n})
            for n in range(4)
        ]
    return numbers[0]


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_is_found(ward: Ward, what: str) -> None:
    """Even the owner of the database cannot do it without a break in the chain."""
    query, off_by = TAMPERINGS[what]
    first = write(ward)
    with ward.connect("owner") as owner:
        assert audit.first_break(owner) == []
        owner.autocommit = False
        owner.execute(query.format(first + 1).encode(), (CHAIN,))
        found = audit.first_break(owner)
        owner.rollback()
        assert found == [Break(chain=CHAIN, n=first + 1 + off_by)]
        assert audit.first_break(owner) == []


def test_an_entry_beyond_the_head_is_found(ward: Ward) -> None:
    """One that was inserted, with a hash that fits, without the function."""
    first = write(ward)
    with ward.connect("owner") as owner:
        owner.autocommit = False
        owner.execute(
            "insert into audit.entry select chain, n + 1, at, actor, act, subject,"
            " detail, hash, audit.digest(hash, chain, n + 1, at, actor, act, subject,"
            " detail) from audit.entry where chain = %s and n = %s",
            (CHAIN, first + 3),
        )
        found = audit.first_break(owner)
        owner.rollback()
    assert found == [Break(chain=CHAIN, n=first + 4)]


def test_entries_come_back_as_written(ward: Ward) -> None:
    """The newest first, each with the hash of the one before."""
    first = write(ward)
    with ward.connect("auditor") as auditor:
        last, before = audit.entries(auditor, CHAIN, 2)
    assert (last.n, last.actor, last.act, last.subject) == (
        first + 3,
        "actor3",
        "study.run",
        "s",
    )
    assert last.detail == {"a": 1, "n": 3}
    assert last.prev == before.hash


def test_an_entry_stands_or_falls_with_its_transaction(ward: Ward) -> None:
    """No act without its entry, and no entry of an act that was undone."""
    first = write(ward)
    with ward.connect("research") as research:
        with research.transaction(force_rollback=True):
            assert audit.append(research, "a", "undone", "s", {}) == first + 4
        assert audit.append(research, "a", "done", "s", {}) == first + 4
    with ward.connect("auditor") as auditor:
        assert audit.first_break(auditor) == []
