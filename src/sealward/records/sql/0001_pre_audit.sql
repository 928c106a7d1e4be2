-- The audit chains. One chain and one head row a database role: a role that holds
-- its own head delays nobody else's revocation.
create schema audit;

create table audit.entry (
  chain   text not null,
  n       bigint not null,
  at      timestamptz not null,
  actor   text not null,
  act     text not null,
  subject text not null,
  detail  jsonb not null,  -- never a clinical value, never a name
  prev    bytea not null,
  hash    bytea not null unique,
  primary key (chain, n));

create table audit.head (
  chain text primary key,
  n     bigint not null,
  hash  bytea not null) with (fillfactor = 50);

create table audit.anchor (  -- a head, signed and also written outside
  chain     text not null,
  n         bigint not null,
  hash      bytea not null,
  signature bytea not null,
  at        timestamptz not null default now(),
  primary key (chain, n),
  foreign key (chain, n) references audit.entry);

create function audit.field(b bytea) returns bytea
  language sql immutable set search_path = pg_catalog, pg_temp
  as $$ select int4send(octet_length(b)) || b $$;

-- Each part is preceded by its length, so that no two entries have one encoding.
create function audit.digest(
    prev bytea, chain text, n bigint, at timestamptz,
    actor text, act text, subject text, detail jsonb) returns bytea
  language sql immutable set search_path = pg_catalog, pg_temp
  as $$ select sha256(prev
    || audit.field(convert_to(chain, 'UTF8'))
    || int8send(n)
    || int8send((extract(epoch from at) * 1000000)::bigint)
    || audit.field(convert_to(actor, 'UTF8'))
    || audit.field(convert_to(act, 'UTF8'))
    || audit.field(convert_to(subject, 'UTF8'))
    || audit.field(convert_to(detail::text, 'UTF8'))) $$;

-- The chain is the session's own role: a process cannot speak for another.
create function audit.append(
    actor text, act text, subject text, detail jsonb default '{}') returns bigint
  language plpgsql security definer set search_path = pg_catalog, pg_temp
  as $$
declare
  head audit.head;
  number bigint;
  moment timestamptz := clock_timestamp();
  digest bytea;
begin
  select * into strict head from audit.head h where h.chain = session_user for update;
  number := head.n + 1;
  digest := audit.digest(
    head.hash, head.chain, number, moment, actor, act, subject, detail);
  insert into audit.entry
    values (head.chain, number, moment, actor, act, subject, detail, head.hash, digest);
  update audit.head h set n = number, hash = digest where h.chain = head.chain;
  return number;
end $$;

-- Empty, or for each broken chain the first number that does not hold: a changed,
-- missing or inserted row by its hash, a cut tail by the head.
create function audit.first_break() returns table (chain text, n bigint)
  language sql stable set search_path = pg_catalog, pg_temp
  as $$
  with linked as (
    select e.chain, e.n, e.hash, e.prev,
      lag(e.hash, 1, '\x00'::bytea) over chained as hash_before,
      lag(e.n, 1, 0::bigint) over chained as n_before,
      audit.digest(
        e.prev, e.chain, e.n, e.at, e.actor, e.act, e.subject, e.detail) as wanted
    from audit.entry e window chained as (partition by e.chain order by e.n)),
  broken as (
    select l.chain, l.n from linked l
      where l.hash <> l.wanted or l.prev <> l.hash_before or l.n <> l.n_before + 1
    union all
    select h.chain, h.n from audit.head h
      where h.n > 0 and not exists (
        select from audit.entry e
          where e.chain = h.chain and e.n = h.n and e.hash = h.hash)
    union all
    select e.chain, min(e.n) from audit.entry e left join audit.head h using (chain)
      where e.n > coalesce(h.n, 0) group by e.chain)
  select b.chain, min(b.n) from broken b group by b.chain $$;
