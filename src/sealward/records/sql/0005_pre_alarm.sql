-- The ladder of an alarm. No clinical content.
create schema alarm;

create table alarm.notice (
  alarm_id   bytea primary key check (octet_length(alarm_id) = 16),
  patient_id uuid not null,
  cred       bigint not null,
  prio       smallint not null check (prio between 0 and 3),
  top        smallint not null check (top between 0 and 3),  -- never falls
  technical  boolean not null default false,
  confirmed  boolean not null default false,  -- the signed alarm packet has come
  opened     timestamptz not null default now(),
  step       smallint not null default 0,
  next_at    timestamptz,
  acked_by   uuid,
  acked_at   timestamptz,
  closed_at  timestamptz,
  check (top >= prio));
create index on alarm.notice (next_at) where closed_at is null;

create table alarm.presented (
  alarm_id   bytea not null references alarm.notice,
  session_id bigint not null,
  at         timestamptz not null default now(),
  primary key (alarm_id, session_id));

create table alarm.step (  -- append-only
  alarm_id bytea not null references alarm.notice,
  n        smallint not null,
  at       timestamptz not null default now(),
  what     text not null,
  actor    text,
  screen   text,
  primary key (alarm_id, n));
