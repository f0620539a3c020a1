-- The guard stands in the database because lane order is not gate order (T30): every revision
-- from 080 on asks it first, so that `alembic upgrade heads` is no way to live. A verdict
-- counts only if it is the newest of its gate, passed, is within its age, was not voided since,
-- and speaks of the route as it is defined now (T31).
--
-- The gates of a further route are scoped: "NAME/canary", which no name of a route can be. A void
-- of "*/canary" is about that gate of every further route, and not about the first one's.

create or replace function iu_gates.fn_required_gates(p_revision text) returns text[]
language sql immutable
set search_path from current
as $$
    select case p_revision
        when '080' then array['host', 'backup', 'substrate', 'invocation']
        when '090' then array['host', 'backup', 'substrate', 'invocation', 'dry_run']
        when '100' then array['host', 'backup', 'substrate', 'invocation', 'dry_run', 'seam']
        when '081' then array['host', 'backup', 'substrate', 'invocation', 'dry_run', 'seam',
                              'check_relaxed', 'disable_proven', 'rehearsal', 'approval']
        when '082' then array['host', 'backup', 'substrate', 'invocation', 'dry_run', 'seam',
                              'check_relaxed', 'disable_proven', 'rehearsal', 'approval', 'canary']
        else '{}'::text[]
    end
$$;

comment on function iu_gates.fn_required_gates(text) is 'Gates whose verdict must be in force before a revision';
revoke execute on function iu_gates.fn_required_gates(text) from public;

create or replace function iu_gates.fn_route_definition_hash(p_route text) returns text
language plpgsql stable
set search_path from current
as $$
declare
    v_hash text;
begin
    if to_regclass(format('%I.iu_outbound_route', :'iu_schema')) is null then
        return null;
    end if;
    execute format('select definition_hash from %I.iu_outbound_route where route_name = $1', :'iu_schema')
    into v_hash using p_route;
    return v_hash;
end
$$;

comment on function iu_gates.fn_route_definition_hash(text) is 'Hash of the route as it is defined now; null without such a route';
revoke execute on function iu_gates.fn_route_definition_hash(text) from public;

create or replace function iu_gates.fn_not_in_force(p_gate text) returns text
language plpgsql stable
set search_path from current
as $$
declare
    v_verdict iu_gates.ledger;
    v_void iu_gates.ledger;
begin
    select l.* into v_verdict from iu_gates.ledger as l
    where l.kind = 'verdict' and l.subject = p_gate order by l.seq desc limit 1;
    if not found then
        return 'no verdict yet';
    end if;
    if coalesce(v_verdict.facts ->> 'outcome', 'unknown') not in ('pass', 'waived') then
        return format('the last verdict is "%s"', coalesce(v_verdict.facts ->> 'outcome', 'unknown'));
    end if;
    if (v_verdict.facts ->> 'expires_at')::timestamptz < clock_timestamp() then
        return 'the last verdict was too old after ' || (v_verdict.facts ->> 'expires_at');
    end if;
    select l.* into v_void from iu_gates.ledger as l
    where l.kind = 'void' and l.seq > v_verdict.seq
      and l.facts -> 'gates' ?| array[p_gate, regexp_replace(p_gate, '^.*/', '*/')]
    order by l.seq desc limit 1;
    if found then
        return format('voided by ledger entry %s: %s', v_void.seq, v_void.facts ->> 'why');
    end if;
    if v_verdict.facts ->> 'definition_hash' is not null
       and v_verdict.facts ->> 'definition_hash'
           is distinct from iu_gates.fn_route_definition_hash(v_verdict.facts ->> 'route') then
        return 'the route is defined otherwise now';
    end if;
    return null;
end
$$;

comment on function iu_gates.fn_not_in_force(text) is 'Null if the verdict of a gate counts now, else why not';
revoke execute on function iu_gates.fn_not_in_force(text) from public;

create or replace function iu_gates.fn_backup_stale(p_gate text) returns text
language sql stable
set search_path from current
as $$
    -- Without a gate (plain Alembic) every step is one of an earlier walk.
    select case
        when s.seq is null then 'it is not known which steps the newest one holds'
        else (
            select format('step %s %s came after its snapshot', l.facts ->> 'direction', l.subject)
            from iu_gates.ledger as l
            where l.kind = 'step' and l.seq > s.seq
              and (p_gate is null or l.facts ->> 'gate' is distinct from p_gate
                   or (l.facts ->> 'direction' = 'down' and p_gate <> 'rollback'))
            order by l.seq desc limit 1)
    end
    from (select (
        select (v.facts -> 'facts' ->> 'snapshot_seq')::bigint from iu_gates.ledger as v
        where v.kind = 'verdict' and v.subject = 'backup' order by v.seq desc limit 1)) as s (seq)
$$;

comment on function iu_gates.fn_backup_stale(text)
is 'Null if the backup holds every lane step of earlier gates and walks (T39), else why not';
revoke execute on function iu_gates.fn_backup_stale(text) from public;

create or replace function iu_gates.fn_guard_findings(p_revision text) returns text[]
language plpgsql stable
set search_path from current
as $$
declare
    v_findings text[];
    v_walk text := nullif(current_setting('iu_gates.walk', true), '');
begin
    if iu_gates.fn_is_scratch() then
        return '{}'::text[];
    end if;
    select array_agg(format('gate "%s": %s', g, iu_gates.fn_not_in_force(g)) order by n)
    into v_findings
    from unnest(iu_gates.fn_required_gates(p_revision)) with ordinality as u (g, n)
    where iu_gates.fn_not_in_force(g) is not null;
    if p_revision in ('090', '100')
       and iu_gates.fn_not_in_force('backup') is null and iu_gates.fn_backup_stale(v_walk) is not null then
        v_findings := v_findings || format('gate "backup": %s', iu_gates.fn_backup_stale(v_walk));
    end if;
    return coalesce(v_findings, '{}') || coalesce(
        (select array_agg(format('drift: %s is %s', d.object, d.change)) from iu_gates.fn_drift() as d where not d.is_part), '{}');
end
$$;

comment on function iu_gates.fn_guard_findings(text) is 'Why a revision may not be applied now; empty if it may';
revoke execute on function iu_gates.fn_guard_findings(text) from public;

create or replace function iu_gates.fn_require_none(p_refusal text, p_findings text[], p_hint text) returns void
language plpgsql
set search_path from current
as $$
begin
    if cardinality(p_findings) > 0 then
        raise exception '%: %', p_refusal, p_findings[1]
            using errcode = 'IUG20', detail = array_to_string(p_findings, E'\n'), hint = p_hint;
    end if;
    perform iu_gates.fn_require_no_new_stop();
end
$$;

comment on function iu_gates.fn_require_none(text, text[], text)
is 'Raise a refusal with its findings and the next command, if there are any, or if something was stopped';
revoke execute on function iu_gates.fn_require_none(text, text[], text) from public;

create or replace function iu_gates.fn_guard(p_revision text) returns void
language sql
set search_path from current
as $$
    select iu_gates.fn_require_none(
        format('revision %s is refused by the guard', p_revision),
        iu_gates.fn_guard_findings(p_revision), 'iu-gates advance')
$$;

comment on function iu_gates.fn_guard(text) is 'Raise unless every gate before a revision is in force and nothing was stopped';
revoke execute on function iu_gates.fn_guard(text) from public;

create or replace function iu_gates.fn_route_findings(p_route text, p_gate text) returns text[]
language plpgsql stable
set search_path from current
as $$
declare
    v_shared text[] := array_remove(array_remove(iu_gates.fn_required_gates('081'), 'backup'), 'approval');
    v_own text[] := array['dry_run', 'seam', 'approval'] || case p_gate when 'live' then array['canary'] else '{}' end;
    v_is_live boolean := exists (select from iu_gates.alembic_version as v where v.version_num = '082');
    v_is_open boolean;
    v_findings text[];
begin
    if iu_gates.fn_is_scratch() then
        return '{}'::text[];
    end if;
    -- What of the shared gates has run out by time alone, nothing can renew once the first route is live.
    select array_agg(format('gate "%s": %s', u.gate, f.reason) order by u.n) into v_findings
    from (
        select s.gate, s.n, true as is_shared from unnest(v_shared) with ordinality as s (gate, n)
        union all
        select p_route || '/' || o.gate, 100 + o.n, false from unnest(v_own) with ordinality as o (gate, n)) as u
    cross join lateral iu_gates.fn_not_in_force(u.gate) as f (reason)
    where f.reason is not null and not (u.is_shared and v_is_live and f.reason like 'the last verdict was too old%');
    execute format('select exists (select from %I.iu_runtime_gate as g where g.gate_name = %L and g.gate_value = %L)',
                   :'iu_schema', 'iu_core.route_worker_enabled', 'true') into v_is_open;
    if not v_is_open then
        v_findings := v_findings || 'the worker gate is closed'::text;
    end if;
    return coalesce(v_findings, '{}') || coalesce(
        (select array_agg(format('drift: %s is %s', d.object, d.change)) from iu_gates.fn_drift() as d where not d.is_part), '{}');
end
$$;

comment on function iu_gates.fn_route_findings(text, text)
is 'Why a further route may not be switched to canary or live now; empty if it may';
revoke execute on function iu_gates.fn_route_findings(text, text) from public;

create or replace function iu_gates.fn_guard_route(p_route text, p_gate text) returns void
language sql
set search_path from current
as $$
    select iu_gates.fn_require_none(
        format('route "%s" is not switched to %s', p_route, p_gate),
        iu_gates.fn_route_findings(p_route, p_gate), 'iu-gates status')
$$;

comment on function iu_gates.fn_guard_route(text, text)
is 'Raise unless every gate before a switch of a further route is in force and nothing was stopped';
revoke execute on function iu_gates.fn_guard_route(text, text) from public;

create or replace function iu_gates.fn_void(p_gates text[], p_why text) returns void
language sql
set search_path from current
as $$
    select iu_gates.fn_ledger_append('void', 'gates', jsonb_build_object('gates', p_gates, 'why', p_why))
$$;

comment on function iu_gates.fn_void(text[], text) is 'Take verdicts out of force';
revoke execute on function iu_gates.fn_void(text[], text) from public;

create or replace function iu_gates.fn_history() returns table (table_name text, row_exists boolean)
language plpgsql stable
set search_path from current
as $$
begin
    foreach table_name in array array['iu_event', 'iu_route_attempt', 'iu_route_dead_letter', 'iu_route_redrive'] loop
        row_exists := false;
        if to_regclass(format('%I.%I', :'iu_schema', table_name)) is not null then
            execute format('select exists (select from %I.%I)', :'iu_schema', table_name) into row_exists;
        end if;
        return next;
    end loop;
end
$$;

comment on function iu_gates.fn_history() is 'Which tables of ours hold history that a rollback would lose';
revoke execute on function iu_gates.fn_history() from public;

create or replace function iu_gates.fn_refuse_history(p_revision text) returns void
language plpgsql
set search_path from current
as $$
declare
    v_tables text;
begin
    select string_agg(h.table_name, ', ') into v_tables from iu_gates.fn_history() as h where h.row_exists;
    if v_tables is not null then
        raise exception 'the downgrade of revision % is refused while history exists in %', p_revision, v_tables
            using errcode = 'IUG40',
                  hint = 'iu-gates rollback --to 009';
    end if;
end
$$;

comment on function iu_gates.fn_refuse_history(text) is 'Raise if a downgrade would lose history';
revoke execute on function iu_gates.fn_refuse_history(text) from public;
