-- One row: which database this is, and under which names the host's columns are known.
-- A copy of the database brings the row along, so the row tells the copy from the original.

create table if not exists iu_gates.installation (
    only_row boolean not null default true,
    iu_schema text not null,
    host jsonb not null,
    system_identifier bigint not null,
    database_oid oid not null,
    site_key_sha256 text,
    installed_at timestamptz not null default now(),
    constraint installation_pkey primary key (only_row),
    constraint installation_only_row_chk check (only_row)
);

comment on table iu_gates.installation is 'One row: the identity of this installation and its names for the host';
comment on column iu_gates.installation.only_row is 'Always true, so that there is one row';
comment on column iu_gates.installation.iu_schema is 'Schema of the objects of the substrate lane';
comment on column iu_gates.installation.host is 'Schema, tables and columns of the host, as JSON';
comment on column iu_gates.installation.system_identifier is 'Cluster, from pg_control_system()';
comment on column iu_gates.installation.database_oid is 'Database, told from a TEMPLATE clone by its oid';
comment on column iu_gates.installation.site_key_sha256 is 'Hash of the site key that workers must carry';
comment on column iu_gates.installation.installed_at is 'When this database was installed or re-based';

create table if not exists iu_gates.scratch_mark (
    only_row boolean not null default true,
    marked_at timestamptz not null default now(),
    marked_by text not null default session_user,
    constraint scratch_mark_pkey primary key (only_row),
    constraint scratch_mark_only_row_chk check (only_row)
);

comment on table iu_gates.scratch_mark is 'A row here marks a scratch database: the guard lets pass, workers refuse';
comment on column iu_gates.scratch_mark.only_row is 'Always true, so that there is one row';
comment on column iu_gates.scratch_mark.marked_at is 'When the mark was set';
comment on column iu_gates.scratch_mark.marked_by is 'The login that set it';

create or replace function iu_gates.fn_is_scratch() returns boolean
language sql stable
set search_path from current
as $$ select exists (select from iu_gates.scratch_mark) $$;

comment on function iu_gates.fn_is_scratch() is 'True if this database is marked as scratch';
revoke execute on function iu_gates.fn_is_scratch() from public;

create or replace function iu_gates.fn_mark_scratch() returns void
language plpgsql
set search_path from current
as $$
declare
    v_rows boolean := false;
begin
    if to_regclass(:'iu_unit_table_qualified') is not null then
        execute 'select exists (select from ' || to_regclass(:'iu_unit_table_qualified')::text || ')' into v_rows;
    end if;
    if v_rows then
        raise exception 'a database with host rows cannot become a scratch database'
            using errcode = 'IUG40',
                  hint = 'mark it before the first row is written';
    end if;
    insert into iu_gates.scratch_mark default values on conflict do nothing;
end
$$;

comment on function iu_gates.fn_mark_scratch() is 'Mark an empty database as scratch; there is no way back';
revoke execute on function iu_gates.fn_mark_scratch() from public;

create or replace function iu_gates.fn_append_only() returns trigger
language plpgsql
set search_path from current
as $$
begin
    raise exception '"%.%" is append-only: % is refused', tg_table_schema, tg_table_name, lower(tg_op)
        using errcode = 'IUG40',
              hint = 'history is kept; see docs/concepts.md';
end
$$;

comment on function iu_gates.fn_append_only() is 'Refuse UPDATE, DELETE and TRUNCATE, whoever asks';
revoke execute on function iu_gates.fn_append_only() from public;

create or replace trigger scratch_mark_append_only
before update or delete or truncate on iu_gates.scratch_mark
for each statement execute function iu_gates.fn_append_only();

create or replace function iu_gates.fn_install(p_host jsonb, p_site_key_sha256 text) returns void
language sql
set search_path from current
as $$
    insert into iu_gates.installation as i (iu_schema, host, system_identifier, database_oid, site_key_sha256)
    select :'iu_schema', p_host, s.system_identifier,
           (select d.oid from pg_database as d where d.datname = current_database()), p_site_key_sha256
    from pg_control_system() as s
    on conflict (only_row) do update set
        host = excluded.host,
        site_key_sha256 = coalesce(i.site_key_sha256, excluded.site_key_sha256)
$$;

comment on function iu_gates.fn_install(jsonb, text)
is 'Record this database, its names for the host and, if none is recorded yet, the site key';
revoke execute on function iu_gates.fn_install(jsonb, text) from public;

create or replace function iu_gates.fn_rehome(p_site_key_sha256 text, p_facts jsonb) returns bigint
language plpgsql
set search_path from current
as $$
begin
    update iu_gates.installation as i set
        system_identifier = s.system_identifier,
        database_oid = (select d.oid from pg_database as d where d.datname = current_database()),
        site_key_sha256 = p_site_key_sha256,
        installed_at = now()
    from pg_control_system() as s;
    perform iu_gates.fn_void(
        array['host', 'backup', 'substrate', 'invocation', 'dry_run', 'seam', 'check_relaxed', 'disable_proven',
              'rehearsal', 'approval', 'canary', 'live',
              '*/dry_run', '*/seam', '*/approval', '*/canary', '*/live'],
        'the database was re-based');
    return iu_gates.fn_ledger_append('rebase', 'installation', p_facts || (
        select jsonb_build_object('to', jsonb_build_object(
            'system_identifier', i.system_identifier::text, 'oid', i.database_oid::bigint))
        from iu_gates.installation as i));
end
$$;

comment on function iu_gates.fn_rehome(text, jsonb)
is 'Make this database the installation: identity, site key, verdicts void, ledger; returns the entry';
revoke execute on function iu_gates.fn_rehome(text, jsonb) from public;

create or replace function iu_gates.fn_mend_sequences() returns jsonb
language plpgsql
set search_path from current
set lock_timeout to '2s'
as $$
declare
    v_one record;
    v_is_behind boolean;
    v_mended jsonb := '{}'::jsonb;
begin
    -- Logical replication carries rows and leaves sequences where they were: the next row would
    -- draw a number that is taken.
    for v_one in
        select c.oid::regclass as home, a.attname, s.name as seq
        from pg_attribute as a
        join pg_class as c on c.oid = a.attrelid and c.relkind = 'r'
        join pg_namespace as n on n.oid = c.relnamespace and n.nspname in ('iu_gates', :'iu_schema')
        cross join lateral pg_get_serial_sequence(c.oid::regclass::text, a.attname) as s (name)
        where a.attidentity <> ''
    loop
        execute format(
            'select coalesce((select max(t.%I) from %s as t) > (select case when s.is_called then s.last_value'
            ' else s.last_value - 1 end from %s as s), false)', v_one.attname, v_one.home, v_one.seq)
        into v_is_behind;
        continue when not v_is_behind;
        execute format('lock table %s in share row exclusive mode', v_one.home);
        execute format('select setval(%L, max(t.%I)) from %s as t', v_one.seq, v_one.attname, v_one.home);
        v_mended := v_mended || jsonb_build_object(v_one.home::text, true);
    end loop;
    return v_mended;
end
$$;

comment on function iu_gates.fn_mend_sequences() is 'Move each sequence of ours behind its rows, where it is before them; returns which';
revoke execute on function iu_gates.fn_mend_sequences() from public;
