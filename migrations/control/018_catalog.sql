-- What stands, object by object: the SQL that makes each and the SQL that takes it away. Pure
-- reading of the catalog; 070 keeps what it reads, and compares.
--
-- A name tells object and attribute: "table iu_core.iu_event: column subject: not null". What
-- comes after the last ": " is a part of what stands before it.
--
-- This file notes what stood before the bootstrap; 099 writes into the ledger what that renewed.
-- env.py runs it once more before all else, where there is something to be noted.

do $$
begin
    if coalesce(current_setting('iu_gates.catalog_before', true), '') <> '' then
        return;
    end if;
    -- These functions are renewed here, so a text of theirs that lies has no say in what follows.
    perform set_config('iu_gates.catalog_before', coalesce((
        select jsonb_object_agg('function ' || p.oid::regprocedure::text,
                                encode(sha256(convert_to(pg_get_functiondef(p.oid), 'UTF8')), 'hex'))
        from pg_proc as p
        join pg_namespace as n on n.oid = p.pronamespace
        where n.nspname = 'iu_gates' and p.proname in ('fn_catalog', 'fn_catalog_hashes', 'fn_fingerprint')), '{}')::text,
        true);
end
$$;

create or replace function iu_gates.fn_catalog(p_schemas text[] default array[:'iu_schema'])
returns table (home text, object text, definition text, removal text)
language plpgsql stable
set search_path from current
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
    -- So that every name the catalog's own functions print is qualified; undone at the end.
    perform set_config('search_path', 'pg_catalog, pg_temp', true);
    return query
    with space as materialized (
        select n.oid, n.nspname::text as home, quote_ident(n.nspname) as name, n.nspowner, n.nspacl,
               -- Where the host's tables live among ours, ours are told by their names.
               n.nspname = :'iu_host_schema' as is_shared
        from pg_namespace as n
        where n.nspname = any (p_schemas)
    ),

    relation as materialized (
        select c.oid, s.home, format('%s.%I', s.name, c.relname) as name, c.relkind, c.relpersistence, c.relowner,
               c.relacl, c.reloptions, c.relrowsecurity, c.relforcerowsecurity,
               case c.relkind when 'v' then 'view ' when 'm' then 'materialized view ' when 'f' then 'foreign table '
                   when 'S' then 'sequence ' else 'table ' end as word
        from pg_class as c
        join space as s on s.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and (not s.is_shared or c.relname like 'iu\_%')
    ),

    routine as materialized (
        select p.oid, s.home, p.oid::regprocedure::text as name, p.proowner, p.proacl, p.prokind,
               case p.prokind when 'p' then 'procedure ' when 'a' then 'aggregate ' else 'function ' end as word
        from pg_proc as p
        join space as s on s.oid = p.pronamespace
        where not s.is_shared or p.proname like 'fn\_iu\_%'
    ),

    attribute as materialized (
        select r.oid, r.home, r.name as place, format('%s%s: column %I', r.word, r.name, a.attname) as object,
               a.attname, quote_ident(a.attname) as name, a.attnum, a.attnotnull, a.attidentity, a.attgenerated, a.attacl,
               r.relowner, format_type(a.atttypid, a.atttypmod)
               || case when a.attcollation <> y.typcollation then ' collate ' || a.attcollation::regcollation::text else '' end
                   as type,
               pg_get_expr(d.adbin, d.adrelid) as expression
        from relation as r
        join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
        join pg_type as y on y.oid = a.atttypid
        left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where r.relkind in ('r', 'p')
    ),

    firing as materialized (
        select t.oid, coalesce(r.home, f.home) as home, quote_ident(t.tgname) as name, t.tgenabled,
               format('%I.%I', n.nspname, c.relname) as place,
               format('table %I.%I: trigger %I', n.nspname, c.relname, t.tgname) as object
        from pg_trigger as t
        join pg_class as c on c.oid = t.tgrelid
        join pg_namespace as n on n.oid = c.relnamespace
        left join relation as r on r.oid = t.tgrelid
        left join routine as f on f.oid = t.tgfoid
        -- A partition's copy of the host's trigger comes and goes with the partition: see "copy".
        where not t.tgisinternal and t.tgparentid = 0
          and (r.oid is not null or f.oid is not null and n.nspname not in ('iu_gates', :'iu_schema')
               or f.oid is not null and n.nspname = :'iu_host_schema' and c.relname not like 'iu\_%')
    ),

    -- A partition has a copy of each row trigger, in the state of the one above; more than that is drift.
    copy as materialized (
        select f.home, format('table %I.%I: ', n.nspname, c.relname) as object, format('%I.%I', n.nspname, c.relname) as place,
               u.oid::regclass::text as above, f.name, k.oid as copy, k.tgenabled, o.tgenabled as wanted, c.oid
        from firing as f
        join pg_trigger as t on t.oid = f.oid and t.tgtype & 1 = 1
        cross join lateral pg_partition_tree(t.tgrelid) as p
        join pg_class as c on c.oid = p.relid
        join pg_namespace as n on n.oid = c.relnamespace
        join pg_class as u on u.oid = p.parentrelid
        join pg_trigger as o on o.tgrelid = u.oid and o.tgname = t.tgname
        left join pg_trigger as k on k.tgrelid = c.oid and k.tgname = t.tgname and k.tgparentid = o.oid
        where p.level > 0
    ),

    -- Who has which right to what; the owner's own are told only where they are lacking.
    holding as materialized (
        select r.home, r.word || r.name as object,
               case r.relkind when 'S' then 'sequence ' else 'table ' end || r.name as target,
               r.relowner as owner, r.relacl as acl, acldefault(case r.relkind when 'S' then 's' else 'r' end::"char", r.relowner) as usual,
               '' as part
        from relation as r
        union all
        select f.home, f.word || f.name, case f.prokind when 'p' then 'procedure ' else 'function ' end || f.name,
               f.proowner, f.proacl, acldefault('f', f.proowner), ''
        from routine as f
        union all
        select s.home, 'schema ' || s.name, 'schema ' || s.name, s.nspowner, s.nspacl, acldefault('n', s.nspowner), ''
        from space as s
        union all
        select a.home, a.object, 'table ' || a.place, a.relowner, a.attacl, null, format(' (%s)', a.name)
        from attribute as a
        where a.attacl is not null
    ),

    privilege as (
        select h.home, h.object, h.target, h.part, x.privilege_type, x.is_grantable,
               case x.grantee when 0 then 'public' else x.grantee::regrole::text end as grantee
        from holding as h
        cross join lateral aclexplode(coalesce(h.acl, h.usual)) as x
        where x.grantee <> h.owner
    )

    -- A part that is not there has no definition.
    select s.home, v.object, v.definition, v.removal
    from space as s
    cross join lateral (values
        ('schema ' || s.name, format('create schema %s', s.name), format('drop schema %s', s.name)),
        (format('schema %s: owner', s.name), format('alter schema %s owner to %s', s.name, s.nspowner::regrole), null)
    ) as v (object, definition, removal)
    union all
    select r.home, v.object, v.definition, v.removal
    from relation as r
    cross join lateral (values
        (r.word || r.name,
         case r.relkind
             when 'v' then format('create view %s as %s', r.name, pg_get_viewdef(r.oid))
             when 'm' then format('create materialized view %s as %s', r.name, pg_get_viewdef(r.oid))
             else format('create %stable %s ()', case r.relpersistence when 'u' then 'unlogged ' else '' end, r.name) end,
         format('drop %s%s', r.word, r.name)),
        (format('%s%s: owner', r.word, r.name), format('alter %s%s owner to %s', r.word, r.name, r.relowner::regrole), null),
        (format('%s%s: options', r.word, r.name),
         case when r.reloptions is not null then
             format('alter table %s set (%s)', r.name, array_to_string(r.reloptions, ', ')) end,
         format('alter table %s reset (%s)', r.name, (
             select string_agg(split_part(o, '=', 1), ', ') from unnest(r.reloptions) as o))),
        (format('%s%s: row security', r.word, r.name),
         case when r.relrowsecurity then format('alter table %s enable row level security', r.name) end,
         format('alter table %s disable row level security', r.name)),
        (format('%s%s: forced row security', r.word, r.name),
         case when r.relforcerowsecurity then format('alter table %s force row level security', r.name) end,
         format('alter table %s no force row level security', r.name))
    ) as v (object, definition, removal)
    where r.relkind <> 'S' and v.definition is not null
    union all
    select r.home, format('%s%s: policy %I', r.word, r.name, p.polname),
           format('-- policy %I for %s', p.polname, p.polcmd), format('drop policy %I on %s', p.polname, r.name)
    from pg_policy as p
    join relation as r on r.oid = p.polrelid
    union all
    select r.home, format('%s%s: rule %I', r.word, r.name, u.rulename), pg_get_ruledef(u.oid),
           format('drop rule %I on %s', u.rulename, r.name)
    from pg_rewrite as u
    join relation as r on r.oid = u.ev_class
    where u.rulename <> '_RETURN'
    union all
    select a.home, v.object, v.definition, v.removal
    from attribute as a
    cross join lateral (values
        (a.object,
         format('alter table %s add column %s %s%s', a.place, a.name, a.type, case a.attgenerated
             when 's' then format(' generated always as (%s) stored', a.expression)
             when 'v' then format(' generated always as (%s) virtual', a.expression)
             else '' end),
         format('alter table %s drop column %s', a.place, a.name)),
        (a.object || ': default',
         case when a.attgenerated = '' and a.expression is not null then
             format('alter table %s alter column %s set default %s', a.place, a.name, a.expression) end,
         format('alter table %s alter column %s drop default', a.place, a.name)),
        (a.object || ': not null',
         case when a.attnotnull then format('alter table %s alter column %s set not null', a.place, a.name) end,
         format('alter table %s alter column %s drop not null', a.place, a.name)),
        -- Made again, it would begin at 1 and collide with what is there.
        (a.object || ': identity',
         case when a.attidentity <> '' then
             format('alter table %s alter column %s add generated %s as identity; '
                    'select setval(pg_get_serial_sequence(%L, %L), coalesce((select max(%s) from %s), 0) + 1, false)',
                    a.place, a.name, case a.attidentity when 'a' then 'always' else 'by default' end,
                    a.place, a.attname, a.name, a.place) end,
         format('alter table %s alter column %s drop identity', a.place, a.name))
    ) as v (object, definition, removal)
    where v.definition is not null
    union all
    select r.home, format('%s%s: constraint %I', r.word, r.name, k.conname),
           format('alter table %s add constraint %I %s', r.name, k.conname, pg_get_constraintdef(k.oid)),
           format('alter table %s drop constraint %I', r.name, k.conname)
    from pg_constraint as k
    join relation as r on r.oid = k.conrelid
    where k.contype <> 'n'
    union all
    select r.home, format('%s%s: index %I', r.word, r.name, c.relname),
           pg_get_indexdef(i.indexrelid) || case when i.indisvalid then '' else ' -- invalid' end,
           format('drop index %I.%I', n.nspname, c.relname)
    from pg_index as i
    join relation as r on r.oid = i.indrelid
    join pg_class as c on c.oid = i.indexrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where not exists (
        select from pg_constraint as k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
    union all
    select r.home, 'sequence ' || r.name,
           format('alter sequence %s as %s increment by %s minvalue %s maxvalue %s start with %s cache %s %s', r.name,
                  format_type(q.seqtypid, null), q.seqincrement, q.seqmin, q.seqmax, q.seqstart, q.seqcache,
                  case when q.seqcycle then 'cycle' else 'no cycle' end),
           format('drop sequence %s', r.name)
    from pg_sequence as q
    join relation as r on r.oid = q.seqrelid
    union all
    select t.home, v.object, v.definition, v.removal
    from firing as t
    cross join lateral (values
        (t.object, regexp_replace(pg_get_triggerdef(t.oid), '^CREATE TRIGGER', 'CREATE OR REPLACE TRIGGER'),
         format('drop trigger %s on %s', t.name, t.place)),
        (t.object || ': state',
         format('alter table %s %s trigger %s', t.place, case t.tgenabled
             when 'A' then 'enable always' when 'R' then 'enable replica' when 'D' then 'disable' else 'enable' end, t.name),
         null)
    ) as v (object, definition, removal)
    union all
    -- A copy that is lacking comes by attaching the partition once more: nobody can make one.
    select p.home,
           p.object || case when p.copy is null then 'lacking' when p.tgenabled = 'D' then 'disabled' else 'state of' end
           || ' trigger ' || p.name,
           '-- ' || coalesce(p.tgenabled::text, 'lacking'),
           case when p.copy is null then
               format('alter table %1$s detach partition %2$s; alter table %1$s attach partition %2$s %3$s', p.above, p.place,
                      (select pg_get_expr(c.relpartbound, c.oid) from pg_class as c where c.oid = p.oid))
           else format('alter table %s %s trigger %s', p.place, case p.wanted
               when 'A' then 'enable always' when 'R' then 'enable replica' when 'D' then 'disable' else 'enable' end, p.name) end
    from copy as p
    where p.tgenabled is distinct from p.wanted
    union all
    -- The triggers behind a foreign key; on, they are not worth a line.
    select r.home, format('%s%s: disabled trigger %I', r.word, r.name, t.tgname), '-- ' || t.tgenabled::text,
           format('alter table %s enable trigger %I', r.name, t.tgname)
    from pg_trigger as t
    join relation as r on r.oid = t.tgrelid
    where t.tgisinternal and t.tgenabled <> 'O'
    union all
    select f.home, v.object, v.definition, v.removal
    from routine as f
    cross join lateral (values
        (f.word || f.name, case f.prokind when 'a' then '-- aggregate' else pg_get_functiondef(f.oid) end,
         format('drop %s%s', f.word, f.name)),
        (format('%s%s: owner', f.word, f.name), format('alter %s%s owner to %s', f.word, f.name, f.proowner::regrole), null)
    ) as v (object, definition, removal)
    union all
    select p.home, format('%s: privilege %s of %s', p.object, p.privilege_type, p.grantee),
           format('grant %s%s on %s to %s%s', p.privilege_type, p.part, p.target, p.grantee,
                  case when p.is_grantable then ' with grant option' else '' end),
           format('revoke %s%s on %s from %s', p.privilege_type, p.part, p.target, p.grantee)
    from privilege as p
    union all
    select h.home, format('%s: lacking privilege %s of its owner', h.object, u.privilege_type),
           format('revoke %s on %s from %s', u.privilege_type, h.target, h.owner::regrole),
           format('grant %s on %s to %s', u.privilege_type, h.target, h.owner::regrole)
    from holding as h
    cross join lateral aclexplode(h.usual) as u
    -- MAINTAIN came with 17: an older list of rights cannot have it.
    where u.grantee = h.owner and u.privilege_type <> 'MAINTAIN'
      and not h.acl @> makeaclitem(u.grantee, u.grantor, u.privilege_type, u.is_grantable)
    union all
    select s.home, format('schema %s: default privilege %s on %s of %s from %s', s.name, x.privilege_type, k.kind, g.grantee, o.owner),
           format('alter default privileges for role %s in schema %s grant %s on %s to %s%s', o.owner, s.name, x.privilege_type,
                  k.kind, g.grantee, case when x.is_grantable then ' with grant option' else '' end),
           format('alter default privileges for role %s in schema %s revoke %s on %s from %s', o.owner, s.name, x.privilege_type,
                  k.kind, g.grantee)
    from pg_default_acl as d
    join space as s on s.oid = d.defaclnamespace
    cross join lateral aclexplode(d.defaclacl) as x
    cross join lateral (
        select case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' else 'types' end
    ) as k (kind)
    cross join lateral (select case x.grantee when 0 then 'public' else x.grantee::regrole::text end) as g (grantee)
    cross join lateral (select d.defaclrole::regrole::text) as o (owner)
    union all
    select s.home, format('type %s', y.oid::regtype), '-- type', format('drop type %s', y.oid::regtype)
    from pg_type as y
    join space as s on s.oid = y.typnamespace
    left join pg_class as c on c.oid = y.typrelid
    where not s.is_shared and y.typelem = 0 and (y.typtype in ('e', 'd', 'r') or c.relkind = 'c')
    union all
    select t.home, t.object || ': comment', format('comment on %s is %L', t.target, d.description), format('comment on %s is null', t.target)
    from (
        select r.home, 'pg_class'::regclass as class, r.oid, 0 as part, r.word || r.name as object, r.word || r.name as target
        from relation as r
        union all
        select a.home, 'pg_class'::regclass, a.oid, a.attnum, a.object, format('column %s.%s', a.place, a.name)
        from attribute as a
        union all
        select f.home, 'pg_proc'::regclass, f.oid, 0, f.word || f.name, f.word || f.name
        from routine as f
        union all
        select s.home, 'pg_namespace'::regclass, s.oid, 0, 'schema ' || s.name, 'schema ' || s.name
        from space as s
    ) as t
    join pg_description as d on d.classoid = t.class and d.objoid = t.oid and d.objsubid = t.part;
end
$$;

comment on function iu_gates.fn_catalog(text[])
is 'What stands in these schemas (usually: of the lanes), with the SQL that makes and removes each object';
revoke execute on function iu_gates.fn_catalog(text[]) from public;

create or replace function iu_gates.fn_catalog_hashes(p_schema text default :'iu_schema') returns jsonb
language sql stable
set search_path from current
as $$
    select coalesce(jsonb_object_agg(c.object, encode(sha256(convert_to(c.definition, 'UTF8')), 'hex')), '{}')
    from iu_gates.fn_catalog(array[p_schema]) as c
$$;

comment on function iu_gates.fn_catalog_hashes(text) is 'Object to SHA-256 of its definition';
revoke execute on function iu_gates.fn_catalog_hashes(text) from public;

create or replace function iu_gates.fn_fingerprint(p_hashes jsonb) returns text
language sql immutable
set search_path from current
as $$ select encode(sha256(convert_to(p_hashes::text, 'UTF8')), 'hex') $$;

comment on function iu_gates.fn_fingerprint(jsonb) is 'One hash of the whole catalog of ours';
revoke execute on function iu_gates.fn_fingerprint(jsonb) from public;

do $$
declare
    v_before jsonb := current_setting('iu_gates.catalog_before');
begin
    if v_before ? 'noted' then
        return;
    end if;
    perform set_config('iu_gates.catalog_before', (
        iu_gates.fn_catalog_hashes(:'iu_schema') || iu_gates.fn_catalog_hashes('iu_gates')
        || v_before || '{"noted": true}')::text, true);
end
$$;
