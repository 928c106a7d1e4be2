-- Eight roles, each with what it needs and no more. The three limits in time stop
-- accidents; against malice, which may lift them, stand own audit heads and leases
-- and the absence of advisory locks.
do $$
declare
  role text;
  name text;
  most int;
begin
  -- Of the hundred connections that PostgreSQL keeps, no role may take all.
  for role, most in values ('intake', 16), ('custody', 16), ('ward', 32),
      ('authority', 4), ('analyst', 16), ('research', 4), ('keeper', 4),
      ('auditor', 4) loop
    name := 'sealward_' || role;
    if not exists (select from pg_roles where rolname = name) then
      execute format(
        'create role %I login nosuperuser nocreatedb nocreaterole noreplication', name);
    end if;
    execute format('alter role %I connection limit %s', name, most);
    execute format('alter role %I set search_path = pg_catalog', name);
    execute format('alter role %I set statement_timeout = %L', name,
      case when role in ('keeper', 'research') then '10min' else '15s' end);
    execute format('alter role %I set lock_timeout = %L', name, '3s');
    execute format('alter role %I set idle_in_transaction_session_timeout = %L',
      name, '5s');
    execute format('grant connect on database %I to %I', current_database(), name);
    execute format('grant usage on schema public, audit to %I', name);
    execute format('grant select on public.migration to %I', name);
    insert into audit.head values (name, 0, '\x00');
    if role <> 'auditor' then
      execute format(
        'grant execute on function audit.append(text, text, text, jsonb) to %I', name);
    end if;
  end loop;
  insert into audit.head values (session_user, 0, '\x00') on conflict do nothing;
  execute format('revoke temporary, connect on database %I from public',
    current_database());
  execute format('grant temporary on database %I to sealward_intake',
    current_database());  -- its staging tables
end $$;

revoke all on schema public from public;
revoke execute on all functions in schema audit, registry, store, vault from public;

-- The numbers of advisory locks are public: one idle session could hold any of them.
do $$
declare
  lock text;
begin
  for lock in select p.oid::regprocedure::text from pg_proc p
      where p.pronamespace = 'pg_catalog'::regnamespace
        and p.proname like 'pg\_%advisory%' loop
    execute format('revoke execute on function %s from public', lock);
  end loop;
end $$;

-- intake: public keys in, packets down, and its own marks. It reads no body.
grant usage on schema registry, store to sealward_intake;
grant select (cred, profile, alias, epoch, pubkey, valid, revoked_at)
  on registry.credential to sealward_intake;
grant execute on function registry.same_binding(text, text) to sealward_intake;
grant insert on store.packet, store.key_record, store.bundle, store.refused
  to sealward_intake;
grant select (cred, seq, day) on store.packet to sealward_intake;
grant select (cred, day, kid) on store.key_record to sealward_intake;
grant select (day, cred, reason, n), update (n, last_at) on store.refused
  to sealward_intake;
grant select, insert, update on store.receipt to sealward_intake;
grant select, update on store.lease to sealward_intake;
grant execute on function store.digest(bigint, bigint, date),
  store.key_digest(bigint, date, bytea), store.leaves(bigint, date, bigint)
  to sealward_intake;

-- custody: the registry, and the birth, reading and death of salts. What must not
-- change (an alias' key, a signed attribute change, a pseudonym) it may only add.
grant usage on schema registry, store, vault to sealward_custody;
grant select, insert on all tables in schema registry to sealward_custody;
grant update (state, ended_at) on registry.device to sealward_custody;
grant update (display, state) on registry.person to sealward_custody;
grant update (sign_count), delete on registry.passkey to sealward_custody;
grant update (placement, state, consent, consent_rev) on registry.patient
  to sealward_custody;
grant update (body, tokens, made_at), delete on registry.identity to sealward_custody;
grant update (during) on registry.binding to sealward_custody;
grant update (revoked_at) on registry.credential to sealward_custody;
grant update (client_id, cred, since), delete on registry.broker_session
  to sealward_custody;
grant select (patient_id, kek_gen), insert, update (kek_gen, wrapped) on vault.salt
  to sealward_custody;
grant select on vault.erased to sealward_custody;
grant execute on function vault.read_salt(uuid, integer, integer, text, text),
  vault.erase(uuid, text), store.make_day(date) to sealward_custody;

-- ward: metadata, sealed bytes and the ladder of alarms.
grant usage on schema registry, store, alarm to sealward_ward;
grant select on registry.device, registry.person, registry.attribute_change,
  registry.passkey, registry.patient, registry.binding, registry.credential
  to sealward_ward;
grant select (patient_id, body, made_at) on registry.identity to sealward_ward;
grant update (sign_count) on registry.passkey to sealward_ward;
grant select on all tables in schema store to sealward_ward;
grant select, insert, update on alarm.notice to sealward_ward;
grant select, insert on alarm.step, alarm.presented to sealward_ward;

-- authority: people, signed attribute changes and consent.
grant usage on schema registry to sealward_authority;
grant select on registry.person, registry.attribute_change to sealward_authority;
grant select (patient_id, consent, consent_rev, state) on registry.patient
  to sealward_authority;

-- analyst: sealed bytes, whose they are and who signed them; no people.
grant usage on schema registry, store to sealward_analyst;
grant select (cred, binding_id, profile, alias, epoch, pubkey) on registry.credential
  to sealward_analyst;
grant select on registry.binding to sealward_analyst;
grant select (device_no, spki) on registry.device to sealward_analyst;
grant select (patient_id, pseudonym) on registry.patient to sealward_analyst;
grant select on all tables in schema store to sealward_analyst;

-- keeper: partitions, repacking, retention.
grant usage on schema registry, store to sealward_keeper;
grant select (cred, binding_id, epoch, valid) on registry.credential
  to sealward_keeper;
grant select on all tables in schema store to sealward_keeper;
grant insert, update, delete on store.segment, store.rollup, store.bundle
  to sealward_keeper;
grant delete on store.packet, store.key_record, store.receipt, store.refused
  to sealward_keeper;
grant execute on function store.make_day(date) to sealward_keeper;

-- auditor: the chains alone. research: nothing until a study's views are approved.
grant select on all tables in schema audit to sealward_auditor;
grant execute on function audit.first_break(), audit.field(bytea),
  audit.digest(bytea, text, bigint, timestamptz, text, text, text, jsonb)
  to sealward_auditor;
