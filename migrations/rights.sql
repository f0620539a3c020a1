-- What is missing among roles and rights, in the order in which it is mended: one statement a
-- row. The bootstrap runs those that its login may, `iu-gates doctor` prints the others for the
-- DBA. What the groups may do with our objects is not here: see iu_gates.fn_role_grants().
with own as (
    -- A role to come has what PUBLIC has.
    select r.oid, coalesce(r.rolname, 'public') as name
    from (values ('iu_gates_owner')) as v (name) left join pg_roles as r on r.rolname = v.name
),

login as (
    select r.oid, r.rolname, r.rolsuper, r.rolcreaterole,
           case when current_setting('server_version_num')::integer >= 160000 then 'SET' else 'MEMBER' end as set_role
    from pg_roles as r where r.rolname = session_user
),

host as (
    select c.oid, n.oid as schema_oid, format('%I.%I', n.nspname, c.relname) as name, n.nspname, c.relowner,
           c.relname = :'iu_unit_table' as is_unit
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = :'iu_host_schema' and c.relkind in ('r', 'p')
      and c.relname in (:'iu_unit_table', :'iu_outbox_table')
),

ours as (
    select n.oid, n.nspname, n.nspowner from pg_namespace as n where n.nspname in ('iu_gates', :'iu_schema')
),

capture as (
    select h.name, h.relowner,
           format('alter table %s enable always trigger iu_unit_version_capture', h.name) as body,
           -- A revoke would take from the owner of our schema what it has as such.
           exists (
               select from ours as s, login as l
               where s.nspname = 'iu_gates' and has_schema_privilege(h.relowner, s.oid, 'create')
                 and (s.nspowner <> h.relowner or not pg_has_role(l.oid, o.oid, l.set_role))) as may_create
    from host as h, own as o
    where h.is_unit and (o.oid is null or not pg_has_role(o.oid, h.relowner, 'usage'))
),

missing (place, topic, found, statement) as (
    select 1, 'roles', format('no role %s', v.name), format('create role %I nologin %s', v.name, v.options)
    from (values ('iu_gates_owner', 'inherit'), ('iu_gates_operator', 'noinherit'), ('iu_gates_approver', 'inherit'),
                 ('iu_gates_worker', 'inherit'), ('iu_gates_auditor', 'inherit')) as v (name, options)
    where not exists (select from pg_roles as r where r.rolname = v.name)
    union all
    -- Without INHERIT an operator is the owner only where it says so: between SET ROLE and COMMIT.
    select 2, 'roles', 'iu_gates_operator inherits', 'alter role iu_gates_operator noinherit'
    from pg_roles as r where r.rolname = 'iu_gates_operator' and r.rolinherit
    union all
    select 3, 'roles', 'iu_gates_operator may not act as iu_gates_owner', 'grant iu_gates_owner to iu_gates_operator'
    where not exists (
        select from pg_auth_members as m
        join pg_roles as g on g.oid = m.roleid and g.rolname = 'iu_gates_owner'
        join pg_roles as r on r.oid = m.member and r.rolname = 'iu_gates_operator')
    union all
    select 4, 'roles', 'iu_gates_operator has the rights of iu_gates_owner without asking',
           'revoke iu_gates_owner from iu_gates_operator; grant iu_gates_owner to iu_gates_operator'
    from own as o join pg_roles as r on r.rolname = 'iu_gates_operator' and pg_has_role(r.oid, o.oid, 'usage')
    union all
    -- Whoever may make roles installs; on 16 and later it may grant what it made, and is no member yet.
    select 5, 'login', format('%s may not act as iu_gates_owner', l.rolname),
           format('grant %I to %I', case when l.rolcreaterole then 'iu_gates_owner' else 'iu_gates_operator' end,
                  l.rolname)
    from login as l, own as o
    where not l.rolsuper and (o.oid is null or not pg_has_role(l.oid, o.oid, l.set_role))
    union all
    select 6, 'rights of iu_gates_owner', 'it does not see what sessions of others do',
           'grant pg_read_all_stats to iu_gates_owner'
    from own as o where o.oid is null or not pg_has_role(o.oid, 'pg_read_all_stats', 'usage')
    union all
    select 7, 'rights of iu_gates_owner', 'no temporary tables',
           format('grant temporary on database %I to iu_gates_owner', current_database())
    from own as o where not has_database_privilege(o.name, current_database(), 'temporary')
    union all
    select 8, 'schemas', format('no schema %s', v.name), format('create schema %I authorization iu_gates_owner', v.name)
    from (values ('iu_gates'), (:'iu_schema')) as v (name)
    where not exists (select from ours as s where s.nspname = v.name)
    union all
    -- Schemas first: who is to own an object must be allowed to make one beside it.
    select case when starts_with(x.object, 'schema ') then 8 else 9 end, 'owner',
           format('%s: %s', x.object, pg_get_userbyid(x.owner)),
           format('alter %s owner to iu_gates_owner', x.object)
    from own as o
    cross join lateral (
        select s.nspowner, format('schema %I', s.nspname) from ours as s where s.nspname <> :'iu_host_schema'
        union all
        select c.relowner, format('%s %s', case c.relkind when 'v' then 'view' when 'm' then 'materialized view'
                                                          when 'S' then 'sequence' else 'table' end, c.oid::regclass)
        from pg_class as c join ours as s on s.oid = c.relnamespace
        where (s.nspname = 'iu_gates' or c.relname like 'iu\_%') and (
            c.relkind in ('r', 'p', 'v', 'm') or (c.relkind = 'S' and not exists (
                select from pg_depend as d
                where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i'))))
        union all
        select p.proowner, format('routine %s', p.oid::regprocedure)
        from pg_proc as p join ours as s on s.oid = p.pronamespace
        where (s.nspname = 'iu_gates' or p.proname like 'fn\_iu\_%') and p.proname <> 'fn_capture_always'
    ) as x (owner, object)
    where x.owner is distinct from o.oid
    union all
    select 9, 'owner', format('iu_gates_owner may not create in schema %s', s.nspname),
           format('grant usage, create on schema %I to iu_gates_owner', s.nspname)
    from ours as s, own as o
    where s.nspname = :'iu_host_schema' and not has_schema_privilege(o.name, s.oid, 'create')
    union all
    -- What PUBLIC could make there would stand in the search_path of every function of ours.
    select 9, 'schemas', format('PUBLIC may use or create in schema %s', s.nspname),
           format('revoke %s on schema %I from public', p.privileges, s.nspname)
    from ours as s
    cross join lateral (
        select string_agg(a.privilege_type, ', ') as privileges
        from pg_namespace as n, aclexplode(n.nspacl) as a
        where n.oid = s.oid and a.grantee = 0 and (a.privilege_type = 'CREATE' or s.nspname <> :'iu_host_schema')
    ) as p
    where p.privileges is not null
    union all
    select 10, 'rights of iu_gates_owner', format('no usage of schema %s', h.nspname),
           format('grant usage on schema %I to iu_gates_owner', h.nspname)
    from (select distinct h.schema_oid, h.nspname from host as h) as h, own as o
    where not has_schema_privilege(o.name, h.schema_oid, 'usage')
    union all
    select 11, 'rights of iu_gates_owner', format('no %s on %s', v.privilege, h.name),
           format('grant %s on %s to iu_gates_owner', v.privilege, h.name)
    from host as h
    cross join own as o
    cross join (values ('select'), ('insert'), ('trigger')) as v (privilege)
    where (h.is_unit or v.privilege <> 'trigger')
      and not has_table_privilege(o.name, h.oid, v.privilege)
    union all
    -- A trigger on a partitioned table is made on each partition too.
    select 11, 'rights of iu_gates_owner', format('no trigger on %s', p.name),
           format('grant trigger on %s to iu_gates_owner', p.name)
    from own as o
    cross join lateral (
        select t.relid, format('%I.%I', n.nspname, c.relname)
        from host as h
        cross join lateral pg_partition_tree(h.oid) as t
        join pg_class as c on c.oid = t.relid
        join pg_namespace as n on n.oid = c.relnamespace
        where h.is_unit and t.relid <> h.oid
    ) as p (oid, name)
    where not has_table_privilege(o.name, p.oid, 'trigger')
    union all
    -- An identity column needs no right on its sequence, a serial one does.
    select 12, 'rights of iu_gates_owner', format('no usage of %s', d.objid::regclass),
           format('grant usage on sequence %s to iu_gates_owner', d.objid::regclass)
    from host as h
    cross join own as o
    join pg_depend as d on d.refclassid = 'pg_class'::regclass and d.refobjid = h.oid
                           and d.classid = 'pg_class'::regclass and d.deptype = 'a'
    join pg_class as c on c.oid = d.objid and c.relkind = 'S'
    where not has_sequence_privilege(o.name, c.oid, 'usage')
    union all
    -- `audit` counts the host's rows. USAGE of the schema public is PUBLIC's as a rule.
    select 13, 'rights of iu_gates_auditor', format('no usage of schema %s', h.nspname),
           format('grant usage on schema %I to iu_gates_auditor', h.nspname)
    from (select distinct h.schema_oid, h.nspname from host as h) as h
    left join pg_roles as r on r.rolname = 'iu_gates_auditor'
    where not has_schema_privilege(coalesce(r.rolname, 'public'), h.schema_oid, 'usage')
    union all
    select 14, 'rights of iu_gates_auditor', format('no select on %s', h.name),
           format('grant select on %s to iu_gates_auditor', h.name)
    from host as h
    left join pg_roles as r on r.rolname = 'iu_gates_auditor'
    where not has_table_privilege(coalesce(r.rolname, 'public'), h.oid, 'select')
    union all
    -- The trigger fires for a subscription's rows too, and only the owner of a table may say so.
    select 15, 'rights of iu_gates_owner', format('it may not say "enable always" of its trigger on %s', c.name),
           format(E'create or replace function iu_gates.fn_capture_always() returns void language sql security definer '
                  'set search_path = %1$I, pg_temp as %2$L;\n'
                  -- A function goes only to who could have made it there.
                  || case when not c.may_create then E'grant create on schema iu_gates to %3$I;\n' else '' end
                  || E'alter function iu_gates.fn_capture_always() owner to %3$I;\n'
                  || case when not c.may_create then E'revoke create on schema iu_gates from %3$I;\n' else '' end
                  || E'revoke execute on function iu_gates.fn_capture_always() from public;\n'
                  'grant execute on function iu_gates.fn_capture_always() to iu_gates_owner;\n'
                  'comment on function iu_gates.fn_capture_always() is '
                  '%4$L', :'iu_schema', c.body, pg_get_userbyid(c.relowner),
                  'As the owner of the host''s table: let the capture trigger fire always')
    from capture as c
    where not exists (
        select from pg_proc as p join ours as s on s.oid = p.pronamespace
        where s.nspname = 'iu_gates' and p.proname = 'fn_capture_always'
          and p.prosrc = c.body and p.proowner = c.relowner)
)

select m.topic, m.found, m.statement from missing as m order by m.place, m.statement
