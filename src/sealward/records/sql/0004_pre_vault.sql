-- Erase salts, each wrapped under a key that PostgreSQL never sees: destroying that
-- key's generation also ends the copies in dead rows, WAL and backups.
create schema vault;

create table vault.salt (
  patient_id uuid primary key,
  kek_gen    integer not null,
  wrapped    bytea not null check (octet_length(wrapped) = 40));  -- RFC 3394, 32 bytes

create table vault.erased (
  patient_id uuid primary key,
  at         timestamptz not null default now(),
  by_actor   text not null);

create function vault.refuse_erased() returns trigger
  language plpgsql security definer set search_path = pg_catalog, pg_temp
  as $$ begin
  if exists (select from vault.erased e where e.patient_id = new.patient_id) then
    raise integrity_constraint_violation
      using message = 'erased', constraint = 'erased_stays_erased';
  end if;
  return new;
end $$;
create trigger refuse_erased before insert or update on vault.salt
  for each row execute function vault.refuse_erased();

-- The audit row is written in the transaction that reads: no salt without a row.
create function vault.read_salt(
    patient uuid, first integer, last integer, actor text, why text)
  returns table (kek_gen integer, wrapped bytea)
  language plpgsql security definer set search_path = pg_catalog, pg_temp
  as $$ begin
  perform audit.append(actor, 'salt.read', patient::text,
    jsonb_build_object('why', why, 'first', first, 'last', last));
  return query select s.kek_gen, s.wrapped from vault.salt s
    where s.patient_id = patient;
end $$;

create function vault.erase(patient uuid, actor text) returns void
  language plpgsql security definer set search_path = pg_catalog, pg_temp
  as $$ begin
  insert into vault.erased (patient_id, by_actor) values (patient, actor)
    on conflict do nothing;
  delete from vault.salt s where s.patient_id = patient;
  update registry.patient p set state = 'erased' where p.patient_id = patient;
  perform audit.append(actor, 'patient.erase', patient::text, '{}');
end $$;
