"""The schema is what the code expects, or the process does not start."""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import make_conninfo

from sealward.records import database, migration
from sealward.records.migration import UnmigratedError

if TYPE_CHECKING:
    from tests.live.records.conftest import Ward


@pytest.fixture
def empty(ward: Ward) -> str:
    """Return the owner's way into a new database of the same server."""
    name = f"scratch_{secrets.token_hex(4)}"
    with ward.connect("owner") as owner:
        owner.execute(f"create database {name}".encode())
    return make_conninfo(ward.server.url("owner"), dbname=name)


def test_every_step_is_taken_once(empty: str) -> None:
    """Again is harmless, also where the roles are there from another database."""
    with database.connect(empty) as owner:
        with pytest.raises(UnmigratedError, match="sealward migrate"):
            migration.check(owner)
        assert migration.migrate(empty) == list(range(1, migration.expected() + 1))
        assert migration.migrate(empty) == []
        migration.check(owner)


def test_two_migrators_at_once_take_each_step_once(empty: str) -> None:
    """Two processes may be told to migrate; the table is locked by one at a time."""
    taken: list[int] = []
    threads = [
        threading.Thread(target=lambda: taken.extend(migration.migrate(empty)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, migration.expected() + 1))


def test_a_changed_step_stops_the_start(empty: str) -> None:
    """What was taken is history; a change of it would make two schemas of a number."""
    migration.migrate(empty)
    with database.connect(empty) as owner:
        owner.execute("update public.migration set sha256 = sha256('x') where n = 2")
        for act in (lambda: migration.check(owner), lambda: migration.migrate(empty)):
            with pytest.raises(UnmigratedError, match="step 2"):
                act()


def test_a_later_schema_stops_the_start(empty: str) -> None:
    """Old code must not write by rules that it does not know."""
    migration.migrate(empty)
    with database.connect(empty) as owner:
        owner.execute(
            "insert into public.migration (n, sha256, phase)"
            " values (999, sha256('x'), 'post')"
        )
        with pytest.raises(UnmigratedError, match="later release"):
            migration.check(owner)
