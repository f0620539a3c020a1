-- What the groups may do with our objects. The owner's rights, and the groups themselves, are
-- in migrations/rights.sql: those need a login that may make roles.
--
-- Nothing is PUBLIC's. The owner changes the schema; voting, disabling, working and reading do
-- not, and need one function each. A group that the DBA makes later has its rights from the
-- next bootstrap or step on.

create or replace function iu_gates.fn_role_grants()
returns table (role_name text, object text, statement text, is_done boolean)
language plpgsql stable
set search_path from current
as $$
begin
    -- So that every name is printed as fn_catalog() prints it; undone at the end.
    perform set_config('search_path', 'pg_catalog, pg_temp', true);
    return query
    with ours as (
        select n.oid, n.nspname, n.nspname = 'iu_gates' as is_control, n.nspacl
        from pg_namespace as n where n.nspname in ('iu_gates', :'iu_schema')
    ),

    reader (name) as (values ('iu_gates_auditor'), ('iu_gates_approver'), ('iu_gates_operator')),

    named (name, functions) as (
        select r.name, array[
            'fn_is_scratch', 'fn_is_stopped', 'fn_stops_in_force', 'fn_catalog', 'fn_catalog_hashes', 'fn_drift',
            'fn_with_needs', 'fn_false_stamp',
            'fn_kept_catalog', 'fn_fingerprint', 'fn_not_in_force', 'fn_votes', 'fn_route_definition_hash',
            'fn_ledger_verify', 'fn_ledger_hash', 'fn_batches_in_hand', 'fn_history', 'fn_role_grants',
            'fn_iu_route_mode', 'fn_iu_route_takes', 'fn_iu_cursor_current', 'fn_iu_cursor_has_passed',
            'fn_iu_cursor_pending']
        from reader as r
        union all values
            ('iu_gates_auditor', array['fn_capture_baseline']),
            ('iu_gates_operator', array['fn_capture_baseline', 'fn_stop', 'fn_disable', 'fn_take_barrier', 'fn_fold_stops']),
            ('iu_gates_approver', array['fn_vote', 'fn_stop', 'fn_disable', 'fn_take_barrier', 'fn_fold_stops']),
            ('iu_gates_worker', array[
                'fn_iu_route_worker_run', 'fn_iu_worker_beat', 'fn_iu_routes_due', 'fn_iu_routes_sift',
                'fn_iu_bell_arm', 'fn_iu_bell_still', 'fn_iu_worker_figures'])
    ),

    -- A worker's login has no business with the record, not even to read it.
    wanted (grantee, privilege, target, acl) as (
        select v.name, 'USAGE', format('schema %I', o.nspname), o.nspacl
        from ours as o
        cross join (select r.name from reader as r union all values ('iu_gates_worker')) as v (name)
        where v.name <> 'iu_gates_worker' or not o.is_control
        union all
        select r.name, 'SELECT', format('table %I.%I', o.nspname, c.relname), c.relacl
        from pg_class as c join ours as o on o.oid = c.relnamespace
        cross join (select r.name from reader as r union all values ('iu_gates_worker')) as r (name)
        where c.relkind in ('r', 'p', 'v', 'm') and (o.is_control or c.relname like 'iu\_%')
          and (r.name <> 'iu_gates_worker' or c.relname in ('iu_outbound_route', 'iu_runtime_gate', 'iu_worker_heartbeat'))
        union all
        -- For pg_dump, which reads their last value.
        select r.name, 'SELECT', format('sequence %I.%I', o.nspname, c.relname), c.relacl
        from pg_class as c join ours as o on o.oid = c.relnamespace
        cross join reader as r
        where c.relkind = 'S' and (o.is_control or c.relname like 'iu\_%')
        union all
        select n.name, 'EXECUTE', format('function %s', p.oid::regprocedure), p.proacl
        from named as n
        join pg_proc as p on p.proname = any (n.functions)
        join ours as o on o.oid = p.pronamespace
    )

    select w.grantee, w.target, format('grant %s on %s to %I', w.privilege, w.target, w.grantee),
           exists (select from aclexplode(w.acl) as a where a.grantee = g.oid and a.privilege_type = w.privilege)
    from wanted as w
    join pg_roles as g on g.rolname = w.grantee
    union all
    select 'public', p.oid::regprocedure::text,
           format('revoke execute on function %s from public', p.oid::regprocedure), false
    from pg_proc as p
    join ours as o on o.oid = p.pronamespace
    cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
    where a.grantee = 0 and (o.is_control or p.proname like 'fn\_iu\_%')
    union all
    select 'public', t.oid::regtype::text, format('revoke usage on type %s from public', t.oid::regtype), false
    from pg_type as t
    join ours as o on o.oid = t.typnamespace
    cross join lateral aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) as a
    where a.grantee = 0 and t.typelem = 0 and (o.is_control or t.typname like 'iu\_%')
    order by 1, 2;
end
$$;

comment on function iu_gates.fn_role_grants()
is 'What the groups should have on our objects, and what PUBLIC has and should not; the SQL, and whether it is done';

create or replace function iu_gates.fn_record_rights() returns void
language plpgsql
set search_path from current
as $$
declare
    v_fact text;
    v_kept jsonb;
    v_new jsonb;
    v_facts jsonb := '{}'::jsonb;
    v_schema text;
begin
    foreach v_fact in array array['control', 'fingerprint'] loop
        v_kept := iu_gates.fn_kept_catalog(v_fact);
        continue when v_kept is null;
        v_schema := case v_fact when 'control' then 'iu_gates' else :'iu_schema' end;
        -- Our owner and these grants, and nothing else: what was granted beyond stays drift.
        select v_kept || coalesce(jsonb_object_agg(
            c.object, encode(sha256(convert_to(c.definition, 'UTF8')), 'hex')), '{}') into v_new
        from iu_gates.fn_catalog(array[v_schema]) as c
        where c.object like '%: owner' and c.definition like '% owner to iu_gates_owner'
           or c.definition in (select g.statement from iu_gates.fn_role_grants() as g)
           or starts_with(c.object, 'function iu_gates.fn_capture_always()');
        if v_new is distinct from v_kept then
            perform iu_gates.fn_keep_catalog(v_schema);
            v_facts := v_facts || jsonb_build_object(v_fact, iu_gates.fn_keep_list(v_new));
        end if;
    end loop;
    if v_facts <> '{}' then
        perform iu_gates.fn_ledger_append('control', 'rights', v_facts);
    end if;
end
$$;

comment on function iu_gates.fn_record_rights()
is 'Record that our objects are iu_gates_owner''s and what the groups may, so that neither is drift';

create or replace function iu_gates.fn_grant_roles() returns integer
language plpgsql
set search_path from current
as $$
declare
    v_statement text;
    v_granted integer := 0;
begin
    for v_statement in select g.statement from iu_gates.fn_role_grants() as g where not g.is_done loop
        execute v_statement;
        v_granted := v_granted + 1;
    end loop;
    return v_granted;
end
$$;

comment on function iu_gates.fn_grant_roles() is 'Give the groups what they lack; returns how many statements that took';

revoke execute on function
iu_gates.fn_role_grants(), iu_gates.fn_record_rights(), iu_gates.fn_grant_roles() from public;

do $$
begin
    -- This role makes nothing but our objects; of another one's we may not speak.
    if current_user = 'iu_gates_owner' then
        alter default privileges revoke execute on functions from public;
        alter default privileges revoke usage on types from public;
    end if;
end
$$;

select iu_gates.fn_grant_roles();
