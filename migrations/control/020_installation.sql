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
