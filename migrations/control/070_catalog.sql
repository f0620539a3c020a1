-- What our objects look like now: one line an object. Each lane step records the lines'
-- hashes in its ledger entry, in its own transaction; a difference later on is drift, and is
-- named object by object.

create or replace function iu_gates.fn_catalog() returns table (object text, definition text)
language sql stable
set search_path from current
as $$
    select 'function ' || p.oid::regprocedure::text,
           pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '')
    from pg_proc as p
    where p.pronamespace = (select n.oid from pg_namespace as n where n.nspname = :'iu_schema')
    union all
    select 'table ' || c.relname,
           coalesce(c.relacl::text, '') || coalesce(c.reloptions::text, '') || c.relkind::text || c.relpersistence::text
           || (select string_agg(
                   format('%s %s %s %s %s %s', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                          a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid)),
                   ', ' order by a.attnum)
               from pg_attribute as a
               left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
               where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
    from pg_class as c
    where c.relnamespace = (select n.oid from pg_namespace as n where n.nspname = :'iu_schema') and c.relkind in ('r', 'p', 'v', 'm')
    union all
    select 'constraint ' || k.conname || ' on ' || k.conrelid::regclass::text,
           pg_get_constraintdef(k.oid) || k.convalidated::text
    from pg_constraint as k
    where k.connamespace = (select n.oid from pg_namespace as n where n.nspname = :'iu_schema') and k.contype <> 'n'
    union all
    select 'index ' || i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) || i.indisvalid::text
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    where c.relnamespace = (select n.oid from pg_namespace as n where n.nspname = :'iu_schema')
    union all
    select 'sequence ' || s.seqrelid::regclass::text,
           format('%s %s %s %s %s %s', s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle)
    from pg_sequence as s
    join pg_class as c on c.oid = s.seqrelid
    where c.relnamespace = (select n.oid from pg_namespace as n where n.nspname = :'iu_schema')
    union all
    select 'trigger ' || t.tgname || ' on ' || t.tgrelid::regclass::text,
           pg_get_triggerdef(t.oid) || t.tgenabled::text
    from pg_trigger as t
    join pg_proc as p on p.oid = t.tgfoid
    -- A partition's copy of the host's trigger comes and goes with the partition.
    where not t.tgisinternal and t.tgparentid = 0 and (
        p.pronamespace = (select n.oid from pg_namespace as n where n.nspname = :'iu_schema')
        or t.tgrelid in (select c.oid from pg_class as c where c.relnamespace = (select n.oid from pg_namespace as n where n.nspname = :'iu_schema')))
$$;

comment on function iu_gates.fn_catalog() is 'Our objects of the substrate lane and what defines each';
revoke execute on function iu_gates.fn_catalog() from public;

create or replace function iu_gates.fn_catalog_hashes() returns jsonb
language sql stable
set search_path from current
as $$
    select coalesce(jsonb_object_agg(c.object, encode(sha256(convert_to(c.definition, 'UTF8')), 'hex')), '{}')
    from iu_gates.fn_catalog() as c
$$;

comment on function iu_gates.fn_catalog_hashes() is 'Object to SHA-256 of its definition';
revoke execute on function iu_gates.fn_catalog_hashes() from public;

create or replace function iu_gates.fn_fingerprint(p_hashes jsonb) returns text
language sql immutable
set search_path from current
as $$ select encode(sha256(convert_to(p_hashes::text, 'UTF8')), 'hex') $$;

comment on function iu_gates.fn_fingerprint(jsonb) is 'One hash of the whole catalog of ours';
revoke execute on function iu_gates.fn_fingerprint(jsonb) from public;

create or replace function iu_gates.fn_drift() returns table (object text, change text)
language sql stable
set search_path from current
as $$
    with recorded as (
        select l.facts -> 'objects' as objects from iu_gates.ledger as l
        where l.kind = 'step' order by l.seq desc limit 1
    ),
    present as (select iu_gates.fn_catalog_hashes() as objects)
    select coalesce(p.key, r.key),
           case when r.key is null then 'added' when p.key is null then 'missing' else 'changed' end
    from (select e.key, e.value from present, jsonb_each_text(present.objects) as e) as p
    full join (select e.key, e.value from recorded, jsonb_each_text(recorded.objects) as e) as r on r.key = p.key
    where p.value is distinct from r.value
    order by 1
$$;

comment on function iu_gates.fn_drift() is 'Objects that are not as the last lane step left them';
revoke execute on function iu_gates.fn_drift() from public;

create or replace function iu_gates.fn_record_step(p_revision text, p_direction text) returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_hashes jsonb := iu_gates.fn_catalog_hashes();
begin
    return iu_gates.fn_ledger_append('step', p_revision, jsonb_build_object(
        'direction', p_direction,
        'gate', nullif(current_setting('iu_gates.walk', true), ''),
        'fingerprint', iu_gates.fn_fingerprint(v_hashes),
        'objects', v_hashes));
end
$$;

comment on function iu_gates.fn_record_step(text, text) is 'Write a lane step into the ledger, in the step''s own transaction';
revoke execute on function iu_gates.fn_record_step(text, text) from public;
