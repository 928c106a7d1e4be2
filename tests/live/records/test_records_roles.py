"""Each role may do what its process needs, and a stolen one no more than that."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from sealward.errors import UnavailableError
from sealward.records import audit, database, ingest, registry, vault
from sealward.records.postgres import ROLES

if TYPE_CHECKING:
    from tests.live.records.conftest import Bed, Ward

GRANTS = Path(__file__).with_name("grants.txt")

NOBODY = "'00000000-0000-0000-0000-000000000000'"
TRESPASSES = [
    ("intake", "delete from store.packet"),
    ("intake", "update store.packet set seq = 1"),
    ("intake", "select body from store.packet"),
    ("intake", "select body from store.key_record"),
    ("intake", "select * from vault.salt"),
    ("intake", "select * from registry.patient"),
    ("intake", "select binding_id from registry.credential"),
    ("intake", "update registry.credential set revoked_at = null"),
    ("intake", "update audit.entry set act = null"),
    ("intake", "select store.make_day('2030-01-01')"),
    ("ward", "select * from vault.salt"),
    ("ward", f"select vault.read_salt({NOBODY}, 1, 1, 'p', 'w')"),
    ("ward", f"select vault.erase({NOBODY}, 'p')"),
    ("ward", "insert into store.packet values (1, 1, now(), 1, now(), now())"),
    ("ward", "insert into registry.passkey values ('a', null, 'b', 0, true)"),
    ("ward", "update registry.passkey set public_key = null"),
    ("ward", "update registry.patient set consent = 'true'"),
    ("ward", "select tokens from registry.identity"),
    ("ward", "delete from audit.entry"),
    ("ward", "select * from audit.head for update"),
    ("ward", "select * from store.lease for update"),
    ("ward", "update store.lease set holder = 'x'"),
    ("ward", "delete from alarm.step"),
    ("ward", "create temp table t (a int)"),
    ("authority", "select * from store.packet"),
    ("authority", "select * from registry.credential"),
    ("authority", "select pseudonym from registry.patient"),
    ("authority", "insert into registry.attribute_change select null"),
    ("analyst", "select * from registry.person"),
    ("analyst", "select uid from registry.patient"),
    ("analyst", f"select vault.read_salt({NOBODY}, 1, 1, 'p', 'w')"),
    ("research", "select * from registry.patient"),
    ("research", "select cred from store.packet"),
    ("research", "select pg_advisory_lock(7235101)"),
    ("research", "select pg_try_advisory_xact_lock(1, 2)"),
    ("keeper", "select * from registry.patient"),
    ("keeper", "select pubkey from registry.credential"),
    ("keeper", "update store.packet set body = ''"),
    ("keeper", "create table store.mine (a int)"),
    ("keeper", "drop table store.packet_20261123"),
    ("custody", "select wrapped from vault.salt"),
    ("custody", "delete from vault.erased"),
    ("custody", "delete from audit.entry"),
    ("custody", "update audit.head set n = 0"),
    ("custody", "select * from store.packet"),
    ("custody", "update registry.patient set pseudonym = 'x'"),
    ("custody", "update registry.credential set pubkey = ''"),
    ("custody", "update registry.attribute_change set attributes = '{}'"),
    ("custody", "delete from registry.credential"),
    ("auditor", "select body from store.packet"),
    ("auditor", "select audit.append('a', 'b', 'c', '{}')"),
    ("auditor", "delete from audit.entry"),
    ("auditor", "create schema mine"),
]

# The same roles at their own work, so that a refusal above is not a dead connection.
OWN_WORK = [
    ("intake", "select cred, seq, day from store.packet limit 1"),
    ("intake", "select alias, pubkey, lower(valid) from registry.credential limit 1"),
    ("intake", "update store.lease set holder = 'me' where p = 0"),
    ("ward", "select body from store.packet limit 1"),
    ("ward", "select body from registry.identity limit 1"),
    ("ward", "select * from alarm.notice limit 1"),
    ("authority", "select attributes from registry.attribute_change limit 1"),
    ("authority", "select consent from registry.patient limit 1"),
    ("analyst", "select pseudonym from registry.patient limit 1"),
    ("analyst", "select body from store.segment limit 1"),
    ("research", "select audit.append('r', 'study.run', 's', '{}')"),
    ("keeper", "delete from store.packet where cred = 0"),
    ("keeper", "select store.make_day('2026-11-23')"),
    ("custody", "select kek_gen from vault.salt limit 1"),
    ("custody", "select * from registry.person limit 1"),
    ("auditor", "select * from audit.first_break()"),
]


@pytest.mark.parametrize(("role", "query"), TRESPASSES)
def test_a_trespass_is_refused(ward: Ward, role: str, query: str) -> None:
    """A process that was taken over stays within its own role."""
    with (
        ward.connect(role) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(query.encode())


@pytest.mark.parametrize(("role", "query"), OWN_WORK)
def test_own_work_is_allowed(ward: Ward, role: str, query: str) -> None:
    """The refusals above are the role's limits and not its absence."""
    with ward.connect(role) as connection:
        connection.execute(query.encode())


def granted(ward: Ward) -> list[str]:
    """Return every privilege of our roles and of everybody, a line each."""
    query = b"""
      with ours as (select oid, nspname, nspacl from pg_namespace where nspname
          = any(array['public', 'audit', 'registry', 'store', 'vault', 'alarm'])),
      acls (kind, name, part, acl) as (
        select 'database', 'sealward'::text, '', datacl from pg_database
          where datname = current_database()
        union all select 'schema', nspname::text, '', nspacl from ours
        union all select 'table', c.oid::regclass::text, '', relacl
          from pg_class c join ours on ours.oid = relnamespace
        union all select 'column', c.oid::regclass::text, attname, attacl
          from pg_attribute join pg_class c on c.oid = attrelid
          join ours on ours.oid = relnamespace
        union all select 'function', p.oid::regprocedure::text, '',
          coalesce(proacl, acldefault('f', proowner)) from pg_proc p
          where proname like 'pg\\_%advisory%' or pronamespace in (
            select oid from ours where nspname <> 'public'))
      select coalesce(pg_get_userbyid(nullif(grantee, 0)), 'everybody'), kind, name,
        lower(privilege_type), string_agg(part, ', ' order by part)
      from acls, aclexplode(acl) where grantee <> grantor group by 1, 2, 3, 4"""
    with ward.connect("owner") as owner:
        owner.execute("set search_path = pg_catalog")
        found = owner.execute(query).fetchall()
    return sorted(" ".join(line).strip() for line in found)


def test_the_grants_are_those_in_the_table(ward: Ward) -> None:
    """A new grant is a visible line in the diff of ``grants.txt``."""
    assert granted(ward) == GRANTS.read_text(encoding="utf-8").splitlines()


def test_no_role_is_more_than_it_seems(ward: Ward) -> None:
    """No superuser, nobody who makes roles, none who inherits another's rights."""
    with ward.connect("owner") as owner:
        strong = owner.execute(
            "select rolname from pg_roles where rolname like 'sealward%' and"
            " rolname <> 'sealward_owner' and (rolsuper or rolcreaterole or"
            " rolcreatedb or rolreplication or rolbypassrls or exists"
            " (select from pg_auth_members m where m.member = pg_roles.oid))"
        ).fetchall()
    assert strong == []


LOCKS = [
    "select audit.append('x', 'wait', 'x', '{}')",
    "select * from audit.head for update",
    "select * from registry.credential for update",
    "select * from registry.patient for update",
    "select * from store.lease for update",
    "lock table registry.credential in access share mode",
    "lock table registry.credential in share row exclusive mode",
    "lock table store.packet in row exclusive mode",
    "lock table store.packet in access exclusive mode",
    "lock table vault.salt in row exclusive mode",
    "select * from alarm.notice for update",
]


@pytest.mark.parametrize("role", [r for r in ROLES if r not in ("owner", "custody")])
def test_a_role_that_waits_in_a_transaction_stops_nobody(
    ward: Ward, bed: Bed, role: str
) -> None:
    """Whatever it may lock, custody revokes and hands out salts meanwhile.

    Intake goes on too, but for a stolen keeper: who may delete may also lock.
    """
    with ward.connect(role) as idle, ward.connect("custody") as custody:
        vault.add_salt(custody, bed.patient_id, 1, bytes(40))
        idle.execute("begin")
        taken = 0
        for lock in LOCKS:
            try:
                with idle.transaction():  # a savepoint: a refusal ends it alone
                    idle.execute(lock.encode())
                    taken += 1
            except psycopg.errors.InsufficientPrivilege:
                continue
        assert taken or role == "auditor"
        begun = time.monotonic()
        assert registry.revoke(custody, bed.alias, "somebody")
        assert vault.read_salt(custody, bed.patient_id, 1, 1, "p", "care")
        if role != "keeper":
            with ward.connect("intake") as intake:
                row = ingest.row(bed.cred, 0, ward.epoch, 0, 0, b"x")
                ingest.Writer(intake).write([row])
        assert time.monotonic() - begun < 1


def test_one_role_cannot_take_every_connection(ward: Ward) -> None:
    """A stolen process opens its few, and custody still comes in."""
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(ward.connect("research"))
        with pytest.raises(UnavailableError):
            ward.connect("research")
        stack.enter_context(ward.connect("custody"))


def test_no_role_gets_into_another_database(ward: Ward) -> None:
    """There it could hold locks, or fill the disk with temporary tables."""
    for name in ("postgres", "template1"):
        with pytest.raises(UnavailableError):
            database.connect(make_conninfo(ward.server.url("ward"), dbname=name))


def test_idle_transactions_and_waits_have_limits(ward: Ward) -> None:
    """What a process forgets to end, PostgreSQL ends for it."""
    with ward.connect("custody") as custody:
        limits = custody.execute(
            "select current_setting('idle_in_transaction_session_timeout'),"
            " current_setting('lock_timeout'), current_setting('statement_timeout'),"
            " current_setting('search_path')"
        ).fetchone()
    assert limits == ("5s", "3s", "15s", "pg_catalog")


def test_a_chain_is_the_role_s_own(ward: Ward) -> None:
    """A stolen ward cannot write into custody's chain, whatever it says."""
    with ward.connect("ward") as own, ward.connect("auditor") as auditor:
        audit.append(own, "sealward_custody", "patient.erase", "x", {})
        (entry,) = audit.entries(auditor, "sealward_ward", 1)
        mine = audit.entries(auditor, "sealward_custody", 1_000_000)
    assert entry.actor == "sealward_custody"
    assert "patient.erase" not in {e.act for e in mine if e.subject == "x"}


def test_a_reader_s_temporary_tables_fool_no_definer(ward: Ward, bed: Bed) -> None:
    """Intake may make temporary tables; none shadows one that a function reads."""
    with ward.connect("intake") as intake:
        database.execute(intake, "create temp table packet (cred int8, body bytea)")
        found = database.execute(
            intake, "select store.digest(%s, 0, '2026-11-23')", (bed.cred,)
        ).fetchone()
    assert found == (None,)
