-- Who is who: patients, people, devices and the aliases of a day. Custody alone
-- writes here.
create extension if not exists btree_gist;
create schema registry;

create table registry.device (
  device_no   bigint generated always as identity primary key,
  spki_sha256 bytea not null unique,
  spki        bytea not null check (octet_length(spki) <= 1024),  -- readers pin it
  owner_org   text not null,
  state       text not null default 'enrolled'
    check (state in ('enrolled', 'active', 'suspended', 'decommissioned')),
  enrolled_at timestamptz not null default now(),
  ended_at    timestamptz,
  check (spki_sha256 = sha256(spki)));

create table registry.person (
  person_id uuid primary key,
  subject   text not null unique,
  display   text not null,
  state     text not null default 'active'
    check (state in ('active', 'suspended', 'left')));

-- In force is the highest number, and only with a registrar's signature over
-- SHA-256(person, attributes, SPKI, number), which share holders verify against
-- registrar keys in their own files: a row alone moves nobody.
create table registry.attribute_change (
  person_id  uuid not null references registry.person,
  number     integer not null check (number > 0),
  attributes text[] not null,
  spki       bytea not null,
  registrar  bytea not null check (octet_length(registrar) = 32),
  signature  bytea not null,
  at         timestamptz not null default now(),
  primary key (person_id, number));

create table registry.passkey (
  credential_id bytea primary key,
  person_id     uuid not null references registry.person,
  public_key    bytea not null,
  sign_count    bigint not null default 0,
  prf           boolean not null,
  created_at    timestamptz not null default now());
create index on registry.passkey (person_id);

create table registry.patient (
  patient_id  uuid primary key,
  uid         text not null unique,
  -- One for life: it names the patient on screens, in policies (care:…) and under
  -- the signatures of clinical commands, which a new one would void. It never
  -- stands in a topic or a packet's clear part.
  pseudonym   text not null unique check (char_length(pseudonym) = 12),
  placement   text not null default '',  -- ward and bed, as the slip is compiled from
  state       text not null default 'present'
    check (state in ('present', 'discharged', 'erased')),
  consent     text not null,  -- the policy text that is compiled into each slip
  consent_rev integer not null default 1);

-- Name and search tokens, sealed: to open them takes the patient's salt as well.
create table registry.identity (
  patient_id uuid primary key references registry.patient,
  body       bytea not null check (octet_length(body) <= 16384),
  tokens     bytea not null check (octet_length(tokens) <= 4096),
  made_at    timestamptz not null default now());

create table registry.binding (  -- slot: one bed of a gateway, one patient of a worker
  binding_id bigint generated always as identity primary key,
  device_no  bigint not null references registry.device,
  slot       smallint not null default 0 check (slot >= 0),
  patient_id uuid not null references registry.patient,
  during     tstzrange not null check (not isempty(during)),
  exclude using gist (device_no with =, slot with =, during with &&));
create index on registry.binding (patient_id);

create table registry.credential (  -- one row an alias: a binding's day
  cred       bigint primary key check (cred > 0),  -- random: `store` must not link days
  binding_id bigint not null references registry.binding,
  profile    text not null default 'gateway' check (profile in ('gateway', 'worker')),
  alias      text not null unique check (alias ~ '^[a-z0-9]{26}$'),
  epoch      integer not null,  -- days since 1970-01-01
  pubkey     bytea not null check (octet_length(pubkey) = 65),
  serial     bytea not null unique,
  valid      tstzrange not null  -- six hours before its day to a day after it
    check (upper(valid) - lower(valid) <= interval '54 hours'),
  revoked_at timestamptz,
  -- An open end has no length, and null passes the check above.
  check (not (isempty(valid) or lower_inf(valid) or upper_inf(valid))));
create index on registry.credential (binding_id, epoch);
create index on registry.credential (upper(valid));

create table registry.broker_session (  -- whom to close when an alias is revoked
  server_id text not null,
  cid       bigint not null,
  client_id text not null,
  cred      bigint not null references registry.credential,
  since     timestamptz not null default now(),
  primary key (server_id, cid));
create index on registry.broker_session (cred);

-- Does one bed, and so one patient, stand behind both aliases? For late packets.
create function registry.same_binding(a text, b text) returns boolean
  language sql stable security definer set search_path = pg_catalog, pg_temp
  as $$ select exists (
    select from registry.credential x join registry.credential y using (binding_id)
      where x.alias = a and y.alias = b) $$;

-- Any role may listen, so the first notice says only *that* something changed.
create function registry.announce_change() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp
  as $$ begin perform pg_notify('sealward_registry', ''); return null; end $$;
create trigger announce_change after insert or update or delete on registry.credential
  for each statement execute function registry.announce_change();

-- By trigger, so that no way of revoking an alias forgets to tell the broker.
create function registry.announce_revocation() returns trigger
  language plpgsql set search_path = pg_catalog, pg_temp
  as $$ begin perform pg_notify('sealward_revoked', new.alias); return null; end $$;
create trigger announce_revocation after update on registry.credential
  for each row when (old.revoked_at is null and new.revoked_at is not null)
  execute function registry.announce_revocation();
