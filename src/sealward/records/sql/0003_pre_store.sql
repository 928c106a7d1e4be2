-- Sealed bytes. `store` knows neither device nor patient nor alias.
create schema store;

-- day is the packet's signed epoch and not derived from t0: the key is (alias, epoch,
-- seq) also for an alias carried into the next day. No default partition: a packet
-- for a day that nobody made is an alarm, not a row in the wrong place.
create table store.packet (
  cred bigint not null,
  seq  bigint not null check (seq >= 0),
  day  date not null,
  kind smallint not null,
  t0   timestamptz not null,  -- the start of the signed ten-second slot
  recv timestamptz not null default now(),
  late boolean not null default false,
  body bytea not null check (octet_length(body) <= 65536),
  primary key (cred, seq, day)) partition by range (day);
alter table store.packet alter column body set storage external;  -- incompressible
-- Rows come in the order of recv: a few bytes a range of pages find the newest.
create index on store.packet using brin (recv)
  with (pages_per_range = 32, autosummarize = on);

-- Opaque to the server. Signed and numbered like any packet, so it lies in
-- store.packet as well: repacking then never drops what a reader needs first.
create table store.key_record (
  cred    bigint not null,
  day     date not null,
  kid     bytea not null check (octet_length(kid) = 4),
  rid     bytea not null check (octet_length(rid) = 16),
  seq     bigint not null,
  made_at timestamptz not null,
  body    bytea not null check (octet_length(body) <= 49152),
  primary key (cred, day, kid));
alter table store.key_record alter column body set storage external;

create table store.segment (  -- a credential's day, repacked
  cred      bigint not null,
  day       date not null,
  kind      smallint not null,
  part      smallint not null default 0,
  n         integer not null,
  first_seq bigint not null,
  last_seq  bigint not null,
  lens      bytea not null,
  body      bytea not null,
  seal      bytea,
  primary key (cred, day, kind, part));
alter table store.segment alter column body set storage external;

create table store.rollup (
  cred bigint not null,
  day  date not null,
  seq  bigint not null,
  t0   timestamptz not null,
  body bytea not null,
  primary key (cred, day, seq));
alter table store.rollup alter column body set storage external;

create table store.bundle (like store.rollup including all);

create table store.receipt (  -- an accelerator: marks are exact without it
  cred bigint not null,
  day  date not null,
  upto bigint not null check (upto >= 0),
  last bytea check (octet_length(last) = 32),  -- SHA-256 of packet upto - 1
  at   timestamptz not null default now(),
  primary key (cred, day)) with (fillfactor = 70);

create table store.refused (  -- a flood of bad packets is one row
  day      date not null,
  cred     bigint not null default 0,  -- 0: no such alias
  reason   text not null,
  n        bigint not null default 1,
  first_at timestamptz not null default now(),
  last_at  timestamptz not null default now(),
  digest   bytea not null check (octet_length(digest) = 32),  -- of the first one
  primary key (day, cred, reason)) with (fillfactor = 70);

create table store.lease (  -- who owns a partition of the broker's stream
  p      smallint primary key check (p between 0 and 7),
  holder text not null default '',
  until  timestamptz not null default '-infinity');
insert into store.lease (p) select generate_series(0, 7);

-- Intake may not read bodies, yet its receipt names the last one by its digest.
create function store.digest(c bigint, s bigint, d date) returns bytea
  language sql stable security definer set search_path = pg_catalog, pg_temp
  as $$ select sha256(p.body) from store.packet p
    where p.cred = c and p.seq = s and p.day = d $$;

create function store.key_digest(c bigint, d date, k bytea) returns bytea
  language sql stable security definer set search_path = pg_catalog, pg_temp
  as $$ select sha256(r.body) from store.key_record r
    where r.cred = c and r.day = d and r.kid = k $$;

-- The Merkle leaves of a day, from which a seal's root is computed anew.
create function store.leaves(c bigint, d date, n bigint)
  returns table (seq bigint, leaf bytea)
  language sql stable security definer set search_path = pg_catalog, pg_temp
  as $$ select p.seq, sha256('\x00'::bytea || p.body) from store.packet p
    where p.cred = c and p.day = d and p.seq < n order by p.seq $$;

-- Make the partition of a day; false if it was there. It is built apart and then
-- attached, for creating it in place would stop intake while it waits.
create function store.make_day(d date) returns boolean
  language plpgsql security definer set search_path = pg_catalog, pg_temp
  as $$
declare
  part text := 'packet_' || to_char(d, 'YYYYMMDD');
begin
  if to_regclass('store.' || part) is not null then
    return false;
  end if;
  execute format(
    'create table store.%I (like store.packet including defaults including constraints
       including indexes including storage)', part);
  execute format(
    'alter table store.packet attach partition store.%I for values from (%L) to (%L)',
    part, d, d + 1);
  return true;
exception when duplicate_table or unique_violation then
  return false;  -- another made it meanwhile
end $$;
