-- What our objects should be. Each lane step and each bootstrap keeps the catalog that it left:
-- the definitions and the list of them in a table whose key is their SHA-256, the list's key in
-- the ledger. A difference later on is drift, named object by object with what was there.

create table if not exists iu_gates.catalog_text (
    sha256 text not null,
    content text not null,
    constraint catalog_text_pkey primary key (sha256)
);

comment on table iu_gates.catalog_text is 'Definitions of our objects, and lists of them, by their hash; append-only';
comment on column iu_gates.catalog_text.sha256 is 'Of the UTF-8 text, in hex';
comment on column iu_gates.catalog_text.content is 'SQL that makes an object, or a JSON object from names to hashes';

create or replace trigger catalog_text_append_only
before update or delete or truncate on iu_gates.catalog_text
for each statement execute function iu_gates.fn_append_only();
alter table iu_gates.catalog_text enable always trigger catalog_text_append_only;

create or replace function iu_gates.fn_keep_catalog(p_schema text) returns jsonb
language sql
set search_path from current
as $$
    with present as materialized (
        select c.object, c.definition, encode(sha256(convert_to(c.definition, 'UTF8')), 'hex') as sha256
        from iu_gates.fn_catalog(array[p_schema]) as c
    ),
    kept as (
        insert into iu_gates.catalog_text (sha256, content)
        select distinct p.sha256, p.definition from present as p
        on conflict (sha256) do nothing
    )
    select coalesce(jsonb_object_agg(p.object, p.sha256), '{}') from present as p
$$;

comment on function iu_gates.fn_keep_catalog(text) is 'Keep the definitions of what stands in a schema; returns object to SHA-256';
revoke execute on function iu_gates.fn_keep_catalog(text) from public;

create or replace function iu_gates.fn_keep_list(p_hashes jsonb) returns text
language sql
set search_path from current
as $$
    insert into iu_gates.catalog_text (sha256, content)
    values (iu_gates.fn_fingerprint(p_hashes), p_hashes::text)
    on conflict (sha256) do nothing;
    select iu_gates.fn_fingerprint(p_hashes)
$$;

comment on function iu_gates.fn_keep_list(jsonb) is 'Keep a list of objects and their hashes; returns its fingerprint';
revoke execute on function iu_gates.fn_keep_list(jsonb) from public;

create or replace function iu_gates.fn_kept_catalog(p_fact text) returns jsonb
language plpgsql stable
set search_path from current
as $$
declare
    v_sha256 text;
    v_kept jsonb;
begin
    -- The lanes' is the fact "fingerprint", that of the control schema "control".
    select l.facts ->> p_fact into v_sha256 from iu_gates.ledger as l
    where l.kind in ('step', 'adopt', 'control') and l.facts ? p_fact order by l.seq desc limit 1;
    if v_sha256 is null then
        return null;
    end if;
    select t.content::jsonb into v_kept from iu_gates.catalog_text as t
    where t.sha256 = v_sha256 and t.sha256 = encode(sha256(convert_to(t.content, 'UTF8')), 'hex');
    if not found then
        raise exception 'the catalog that the ledger names is not kept as it was: %', v_sha256
            using errcode = 'IUG46',
                  hint = 'restore iu_gates.catalog_text from the newest backup; see docs/runbooks/drift.md';
    end if;
    return v_kept;
end
$$;

comment on function iu_gates.fn_kept_catalog(text) is 'Object to SHA-256 as last recorded; null if nothing was';
revoke execute on function iu_gates.fn_kept_catalog(text) from public;

create or replace function iu_gates.fn_with_needs(p_revisions text[]) returns text[]
language sql immutable
set search_path from current
as $$
    with recursive stands (revision) as (
        select u.revision from unnest(p_revisions) as u (revision)
        union
        select n.needed from stands as s
        join (values ('009', '008'), ('060', '009'), ('080', '060'), ('090', '060'), ('100', '090'),
                     ('081', '080'), ('081', '100'), ('082', '081')) as n (revision, needed) on n.revision = s.revision
    )
    select coalesce(array_agg(s.revision order by s.revision), '{}') from stands as s
$$;

comment on function iu_gates.fn_with_needs(text[]) is 'Revisions and all that they stand on';
revoke execute on function iu_gates.fn_with_needs(text[]) from public;

create or replace function iu_gates.fn_false_stamp()
returns table (object text, wanted text, found text, remedy text)
language plpgsql stable
set search_path from current
as $$
declare
    v_recorded text[];
    v_stamped text[];
    v_heads text[];
begin
    select array(select jsonb_array_elements_text(l.facts -> 'revisions')) into v_recorded
    from iu_gates.ledger as l
    where l.kind in ('step', 'adopt') and l.facts ? 'revisions' order by l.seq desc limit 1;
    if not found or to_regclass('iu_gates.alembic_version') is null then
        return;
    end if;
    select coalesce(array_agg(v.version_num::text order by v.version_num), '{}') into v_stamped
    from iu_gates.alembic_version as v;
    -- Rows that overlap mean their union. A revision of a newer version is told of elsewhere.
    if iu_gates.fn_with_needs(v_stamped) = iu_gates.fn_with_needs(v_recorded)
       or not v_stamped <@ iu_gates.fn_with_needs(array['082']) then
        return;
    end if;
    select coalesce(array_agg(u.revision order by u.revision), '{}') into v_heads
    from unnest(v_recorded) as u (revision)
    where not exists (
        select from unnest(v_recorded) as o (revision)
        where o.revision <> u.revision and u.revision = any (iu_gates.fn_with_needs(array[o.revision])));
    return query select
        format('rows of iu_gates.alembic_version (%s; the ledger has %s)',
               coalesce(nullif(array_to_string(iu_gates.fn_with_needs(v_stamped), ' '), ''), 'none'),
               coalesce(nullif(array_to_string(iu_gates.fn_with_needs(v_recorded), ' '), ''), 'none')),
        format('delete from iu_gates.alembic_version where not version_num = any (%1$L::text[]);
insert into iu_gates.alembic_version (version_num) select unnest(%1$L::text[]) on conflict do nothing', v_heads),
        array_to_string(v_stamped, ' '),
        'alembic stamp --purge ' || coalesce(nullif(array_to_string(v_heads, ' '), ''), 'base');
end
$$;

comment on function iu_gates.fn_false_stamp()
is 'How alembic_version differs from what the last step or adoption left, and the command that mends it; no row if it does not';
revoke execute on function iu_gates.fn_false_stamp() from public;

create or replace function iu_gates.fn_require_recorded() returns void
language plpgsql
set search_path from current
as $$
declare
    v_stamp record;
begin
    for v_stamp in select s.object, s.remedy from iu_gates.fn_false_stamp() as s loop
        raise exception 'alembic_version is not as the last step left it'
            using errcode = 'IUG46', detail = v_stamp.object, hint = v_stamp.remedy;
    end loop;
end
$$;

comment on function iu_gates.fn_require_recorded() is 'Raise if alembic_version was stamped: what never ran cannot be undone';
revoke execute on function iu_gates.fn_require_recorded() from public;

create or replace function iu_gates.fn_drift()
returns table (object text, change text, is_part boolean, wanted text, found text, removal text)
language sql stable
set search_path from current
set jit = off
as $$
    with recorded as materialized (
        select r.lanes, r.control, r.lanes is not null as has_lanes, r.control is not null as has_control,
               r.control ? 'table iu_gates.alembic_version' as has_version
        from (select iu_gates.fn_kept_catalog('fingerprint'), iu_gates.fn_kept_catalog('control')) as r (lanes, control)
    ),
    kept as (
        select e.key as object, e.value as sha256 from recorded, jsonb_each_text(recorded.lanes) as e
        union all
        select e.key, e.value from recorded, jsonb_each_text(recorded.control) as e
    ),
    present as materialized (
        select c.object, c.definition, c.removal, encode(sha256(convert_to(c.definition, 'UTF8')), 'hex') as sha256
        from (select r.has_lanes, r.has_control, r.has_version from recorded as r) as r,
             iu_gates.fn_catalog(array[:'iu_schema', 'iu_gates']) as c
        where case
            when c.home <> 'iu_gates' then r.has_lanes or c.object ~ '^(table|view|function|type) '
            -- Alembic makes its table after the bootstrap; the first step records it.
            else r.has_control and (r.has_version or c.object !~ '^table iu_gates.alembic_version') end
    ),
    difference as materialized (
        select coalesce(k.object, p.object) as object,
               case when k.object is null then 'added' when p.object is null then 'missing' else 'changed' end as change,
               k.sha256, p.definition, p.removal
        from kept as k
        full join present as p on p.object = k.object
        where p.sha256 is distinct from k.sha256
    )
    select d.object, d.change,
           exists (select from difference as o
                   where o.change = d.change and d.change <> 'changed' and starts_with(d.object, o.object || ': ')),
           (select t.content from iu_gates.catalog_text as t
            where t.sha256 = d.sha256 and t.sha256 = encode(sha256(convert_to(t.content, 'UTF8')), 'hex')),
           d.definition, d.removal
    from difference as d
    union all
    select s.object, 'changed', false, s.wanted, s.found, null from iu_gates.fn_false_stamp() as s
    order by 1
$$;

comment on function iu_gates.fn_drift()
is 'Objects that are not as last recorded, with what was there; is_part: goes or came with another of these';
revoke execute on function iu_gates.fn_drift() from public;

create or replace function iu_gates.fn_require_no_drift() returns void
language plpgsql
set search_path from current
as $$
declare
    v_found text[];
begin
    if iu_gates.fn_is_scratch() then
        return;
    end if;
    -- What the bootstrap of this walk renewed is drift too: its owner should know who did it.
    select coalesce(array_agg(format('%s is %s', d.object, d.change) order by d.object), '{}') into v_found
    from (
        select f.object, f.change from iu_gates.fn_drift() as f where not f.is_part
        union
        select m.object, 'changed' from jsonb_object_keys(
            coalesce(nullif(current_setting('iu_gates.control_mended', true), ''), '{}')::jsonb) as m (object)
    ) as d;
    if cardinality(v_found) > 0 then
        raise exception 'objects of ours are not as they were left: %', v_found[1]
            using errcode = 'IUG46',
                  detail = array_to_string(v_found, E'\n'),
                  hint = 'iu-gates drift --sql';
    end if;
end
$$;

comment on function iu_gates.fn_require_no_drift() is 'Raise if an object of ours is not as it was left';
revoke execute on function iu_gates.fn_require_no_drift() from public;

create or replace function iu_gates.fn_keep_version_table() returns jsonb
language plpgsql
set search_path from current
as $$
declare
    v_control jsonb := iu_gates.fn_kept_catalog('control');
begin
    if v_control ? 'table iu_gates.alembic_version' or to_regclass('iu_gates.alembic_version') is null then
        return '{}'::jsonb;
    end if;
    select coalesce(v_control, '{}') || jsonb_object_agg(e.key, e.value) into v_control
    from jsonb_each(iu_gates.fn_keep_catalog('iu_gates')) as e
    where e.key ~ '^table iu_gates.alembic_version' or v_control is null;
    return jsonb_build_object('control', iu_gates.fn_keep_list(v_control));
end
$$;

comment on function iu_gates.fn_keep_version_table() is 'Record Alembic''s own table, once: as a fact of the entry to be written';
revoke execute on function iu_gates.fn_keep_version_table() from public;

create or replace function iu_gates.fn_record_step(p_revision text, p_direction text) returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_hashes jsonb;
begin
    -- The runtime lane changes rows only: what has drifted before it, as when something is switched
    -- off all the same, is still to be seen after it.
    if p_revision in ('080', '081', '082') then
        v_hashes := iu_gates.fn_kept_catalog('fingerprint');
    end if;
    v_hashes := coalesce(v_hashes, iu_gates.fn_keep_catalog(:'iu_schema'));
    return iu_gates.fn_ledger_append('step', p_revision, iu_gates.fn_keep_version_table() || jsonb_build_object(
        'direction', p_direction,
        'gate', nullif(current_setting('iu_gates.walk', true), ''),
        -- The heads that the step leaves: Alembic has written them in this transaction.
        'revisions', (select coalesce(jsonb_agg(r.version_num order by r.version_num), '[]')
                      from iu_gates.alembic_version as r),
        'objects', (select count(*) from jsonb_object_keys(v_hashes)),
        'fingerprint', iu_gates.fn_keep_list(v_hashes),
        -- No lock of this step is older than its transaction.
        'held_ms', round(extract(epoch from clock_timestamp() - now()) * 1000, 1)));
end
$$;

comment on function iu_gates.fn_record_step(text, text) is 'Write a lane step into the ledger, in the step''s own transaction';
revoke execute on function iu_gates.fn_record_step(text, text) from public;

create or replace function iu_gates.fn_record_bootstrap() returns void
language plpgsql
set search_path from current
as $$
declare
    v_before jsonb := nullif(current_setting('iu_gates.catalog_before', true), '')::jsonb;
    v_fact text;
    v_schema text;
    v_kept jsonb;
    v_after jsonb;
    v_new jsonb;
    v_mended jsonb;
    v_all_mended jsonb := '{}'::jsonb;
    v_facts jsonb := '{}'::jsonb;
begin
    foreach v_fact in array array['control', 'fingerprint'] loop
        v_schema := case v_fact when 'control' then 'iu_gates' else :'iu_schema' end;
        v_kept := iu_gates.fn_kept_catalog(v_fact);
        -- Run outside of a transaction, 018 has noted nothing: then what is recorded stays so.
        continue when case when v_kept is null then v_fact = 'fingerprint' else v_before is null end;
        v_after := iu_gates.fn_keep_catalog(v_schema);
        if v_kept is null then
            v_new := v_after;
        else
            -- What the bootstrap did not touch is left to be drift, if it is.
            select coalesce(jsonb_object_agg(e.key, e.value), '{}') into v_new
            from jsonb_each(v_kept) as e
            where v_after ? e.key or not v_before ? e.key;
            select v_new || coalesce(jsonb_object_agg(a.key, a.value), '{}') into v_new
            from jsonb_each(v_after) as a
            where a.value is distinct from v_before -> a.key;
            select coalesce(jsonb_object_agg(a.key, jsonb_build_object('before', v_before -> a.key, 'after', a.value)), '{}')
            into v_mended
            from jsonb_each(v_after) as a
            where a.value is distinct from v_before -> a.key and v_before -> a.key is distinct from v_kept -> a.key;
            v_all_mended := v_all_mended || v_mended;
        end if;
        if v_new is distinct from v_kept or v_mended <> '{}' then
            v_facts := v_facts || jsonb_build_object(v_fact, iu_gates.fn_keep_list(v_new));
        end if;
    end loop;
    perform set_config('iu_gates.catalog_before', '', true);
    perform set_config('iu_gates.control_mended', v_all_mended::text, true);
    if v_facts <> '{}' then
        perform iu_gates.fn_ledger_append('control', 'bootstrap', v_facts || jsonb_build_object('mended', v_all_mended));
    end if;
end
$$;

comment on function iu_gates.fn_record_bootstrap()
is 'Record what the bootstrap made, and which objects it found changed and renewed';
revoke execute on function iu_gates.fn_record_bootstrap() from public;

create or replace function iu_gates.fn_record_adoption(p_revisions text[]) returns text
language plpgsql
set search_path from current
as $$
declare
    v_hashes jsonb;
    v_xid xid8;
    v_capture text;
begin
    if exists (select from iu_gates.ledger as l where l.kind in ('step', 'adopt')) then
        raise exception 'the record has begun: nothing can be taken over any more'
            using errcode = 'IUG48', hint = 'iu-gates status';
    end if;
    create table if not exists iu_gates.alembic_version (
        version_num character varying(32) not null,
        constraint alembic_version_pkc primary key (version_num)
    );
    insert into iu_gates.alembic_version (version_num) values (p_revisions[cardinality(p_revisions)]);
    perform iu_gates.fn_grant_roles();
    if '060' = any (p_revisions) then
        select 'counted from ' || to_char(s.began_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"') || ', as it was recorded'
        into v_capture
        from iu_gates.capture_span as s where s.ended_at is null;
        if not found then
            -- Nobody wrote down when the trigger came. What was committed before the first
            -- transaction that it captured counts as older; what came later and has no event is missed.
            execute format('select min(e.xact_id) from %I.iu_event as e where e.cluster_id = (
                                select s.system_identifier from pg_control_system() as s)', :'iu_schema') into v_xid;
            insert into iu_gates.capture_span (began_snapshot)
            values (case when v_xid is null then pg_current_snapshot()
                         else format('%s:%s:', v_xid, v_xid)::pg_snapshot end);
            v_capture := case
                when v_xid is null then 'not known when it began, and nothing was captured: counted from now'
                else format('not known when it began: counted from transaction %s, the first that it captured', v_xid) end;
        end if;
    end if;
    v_hashes := iu_gates.fn_keep_catalog(:'iu_schema');
    perform iu_gates.fn_ledger_append('adopt', p_revisions[cardinality(p_revisions)],
        iu_gates.fn_keep_version_table() || jsonb_build_object(
            'revisions', p_revisions,
            'capture', v_capture,
            'objects', (select count(*) from jsonb_object_keys(v_hashes)),
            'fingerprint', iu_gates.fn_keep_list(v_hashes)));
    return coalesce(v_capture, 'begins with 060');
end
$$;

comment on function iu_gates.fn_record_adoption(text[])
is 'Record revisions that were made by hand, after they were compared: version, catalog, where capture is counted from';
revoke execute on function iu_gates.fn_record_adoption(text[]) from public;
