-- A stop holds the gate, or one route, whatever the switches say. `disable` writes one and
-- commits: an INSERT waits for nobody, neither for a migration that holds the row of the
-- switch nor for the ledger (T26). A stop is lifted one by one, by name: what is written
-- while `advance` runs was not seen by it and stays in force (T27).

create table if not exists iu_gates.stop (
    epoch bigint generated always as identity,
    route_name text,
    kind text not null,
    reason text not null,
    stopped_by text not null default session_user,
    stopped_at timestamptz not null default clock_timestamp(),
    lifted_at timestamptz,
    lifted_by text,
    ledger_seq bigint,
    lift_ledger_seq bigint,
    constraint stop_pkey primary key (epoch),
    constraint stop_kind_chk check (kind in ('disable', 'drill', 'trip'))
);

do $$
begin
    -- CREATE INDEX IF NOT EXISTS locks the table before it looks: a bootstrap that then waits for
    -- somebody would keep `disable` waiting.
    if to_regclass('iu_gates.stop_in_force_idx') is null then
        create index stop_in_force_idx on iu_gates.stop (epoch) where lifted_at is null;
    end if;
end
$$;

comment on table iu_gates.stop is 'What is held, by whom and why; in force until lifted';
comment on column iu_gates.stop.epoch is 'Number of the stop; grows';
comment on column iu_gates.stop.route_name is 'The route that is held; null holds all';
comment on column iu_gates.stop.kind is 'disable, drill or trip';
comment on column iu_gates.stop.reason is 'Why, in words';
comment on column iu_gates.stop.stopped_by is 'The login';
comment on column iu_gates.stop.stopped_at is 'When it was written';
comment on column iu_gates.stop.lifted_at is 'When it was lifted; null while in force';
comment on column iu_gates.stop.lifted_by is 'The login that lifted it';
comment on column iu_gates.stop.ledger_seq is 'The ledger entry it was folded into, after the barrier';
comment on column iu_gates.stop.lift_ledger_seq is 'The ledger entry of its lift';

create or replace function iu_gates.fn_disable(p_route text, p_reason text) returns bigint
language sql security definer
set search_path from current
as $$
    insert into iu_gates.stop (route_name, kind, reason) values (p_route, 'disable', p_reason)
    returning epoch
$$;

comment on function iu_gates.fn_disable(text, text) is 'Stop by hand the gate (route null) or one route; waits for nobody';
revoke execute on function iu_gates.fn_disable(text, text) from public;

create or replace function iu_gates.fn_stop(p_route text, p_kind text, p_reason text)
returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_epoch bigint;
begin
    if p_kind = 'disable' then
        return iu_gates.fn_disable(p_route, p_reason);
    end if;
    -- A drill and a trip are the owner's: a drill is lifted by the next walk, a trip voids gates.
    insert into iu_gates.stop (route_name, kind, reason) values (p_route, p_kind, p_reason)
    returning epoch into v_epoch;
    return v_epoch;
end
$$;

comment on function iu_gates.fn_stop(text, text, text) is 'Hold the gate (route null) or one route; waits for nobody';
revoke execute on function iu_gates.fn_stop(text, text, text) from public;

create or replace function iu_gates.fn_is_stopped(p_route text) returns boolean
language sql stable security definer
set search_path from current
as $$
    select exists (
        select from iu_gates.stop as s
        where s.lifted_at is null and (s.route_name is null or s.route_name = p_route))
$$;

comment on function iu_gates.fn_is_stopped(text) is 'True while a stop holds this route';
revoke execute on function iu_gates.fn_is_stopped(text) from public;

create or replace function iu_gates.fn_stops_in_force() returns bigint[]
language sql stable security definer
set search_path from current
as $$
    select coalesce(array_agg(s.epoch order by s.epoch), '{}') from iu_gates.stop as s where s.lifted_at is null
$$;

comment on function iu_gates.fn_stops_in_force() is 'Epochs of all stops in force';
revoke execute on function iu_gates.fn_stops_in_force() from public;

create or replace function iu_gates.fn_stops_seen() returns bigint[]
language sql stable
set search_path from current
as $$ select coalesce(nullif(current_setting('iu_gates.stops_seen', true), ''), '{}')::bigint[] $$;

comment on function iu_gates.fn_stops_seen() is 'The stops that this walk saw in force when it began';
revoke execute on function iu_gates.fn_stops_seen() from public;

create or replace function iu_gates.fn_require_no_new_stop() returns void
language plpgsql
set search_path from current
as $$
declare
    v_stop iu_gates.stop;
begin
    select s.* into v_stop from iu_gates.stop as s
    where s.lifted_at is null and s.kind <> 'drill' and s.epoch <> all (iu_gates.fn_stops_seen())
    order by s.epoch limit 1;
    if found then
        raise exception 'stopped by "%" at %: %', v_stop.stopped_by, v_stop.stopped_at, v_stop.reason
            using errcode = 'IUG38',
                  hint = 'iu-gates status';
    end if;
end
$$;

comment on function iu_gates.fn_require_no_new_stop() is 'Raise if a stop came after this walk began';
revoke execute on function iu_gates.fn_require_no_new_stop() from public;

create or replace function iu_gates.fn_lift_facts(p_stop iu_gates.stop) returns jsonb
language sql stable
set search_path from current
as $$
    select jsonb_build_object('epoch', p_stop.epoch, 'kind', p_stop.kind,
                              'lifted_by', p_stop.lifted_by, 'lifted_at', p_stop.lifted_at)
$$;

comment on function iu_gates.fn_lift_facts(iu_gates.stop) is 'What the ledger says of a lift';
revoke execute on function iu_gates.fn_lift_facts(iu_gates.stop) from public;

create or replace function iu_gates.fn_lift_stops(p_route text) returns integer
language plpgsql
set search_path from current
as $$
declare
    v_epochs bigint[];
begin
    with lifted as (
        update iu_gates.stop as s set lifted_at = clock_timestamp(), lifted_by = session_user
        where s.lifted_at is null and s.epoch = any (iu_gates.fn_stops_seen())
          and s.route_name is not distinct from p_route
        returning s.epoch)
    select array_agg(l.epoch order by l.epoch) into v_epochs from lifted as l;
    if v_epochs is not null then
        update iu_gates.stop as s set lift_ledger_seq = iu_gates.fn_ledger_append(
            'lift', coalesce(p_route, 'gate'), iu_gates.fn_lift_facts(s))
        where s.epoch = any (v_epochs);
    end if;
    return coalesce(cardinality(v_epochs), 0);
end
$$;

comment on function iu_gates.fn_lift_stops(text) is 'Lift the stops that this walk saw: those of the gate (null) or of one route';
revoke execute on function iu_gates.fn_lift_stops(text) from public;

create or replace function iu_gates.fn_lift_drill(p_epoch bigint) returns void
language sql
set search_path from current
as $$
    update iu_gates.stop set lifted_at = clock_timestamp(), lifted_by = session_user
    where epoch = p_epoch and kind = 'drill'
$$;

comment on function iu_gates.fn_lift_drill(bigint)
is 'End a drill: lifts its own stop and no other; waits for nobody, its entry is folded in after';
revoke execute on function iu_gates.fn_lift_drill(bigint) from public;

create or replace function iu_gates.fn_fold_stops() returns integer
language plpgsql security definer
set search_path from current
as $$
declare
    v_stop iu_gates.stop;
    v_folded integer := 0;
begin
    for v_stop in
        select s.* from iu_gates.stop as s
        where s.ledger_seq is null or (s.lifted_at is not null and s.lift_ledger_seq is null)
        order by s.epoch for update skip locked
    loop
        if v_stop.ledger_seq is null then
            update iu_gates.stop set ledger_seq = iu_gates.fn_ledger_append(
                'stop', coalesce(v_stop.route_name, 'gate'),
                jsonb_build_object('epoch', v_stop.epoch, 'kind', v_stop.kind, 'reason', v_stop.reason,
                                   'stopped_by', v_stop.stopped_by, 'stopped_at', v_stop.stopped_at))
            where epoch = v_stop.epoch;
            if v_stop.kind = 'trip' then
                perform iu_gates.fn_void(
                    case v_stop.route_name when 'iu.version_applied.workflow' then array['canary', 'live']
                        else array[v_stop.route_name || '/canary', v_stop.route_name || '/live'] end,
                    format('trip of "%s"', v_stop.route_name));
            end if;
            v_folded := v_folded + 1;
        end if;
        if v_stop.lifted_at is not null then
            update iu_gates.stop set lift_ledger_seq = iu_gates.fn_ledger_append(
                'lift', coalesce(v_stop.route_name, 'gate'), iu_gates.fn_lift_facts(v_stop))
            where epoch = v_stop.epoch;
        end if;
    end loop;
    return v_folded;
end
$$;

comment on function iu_gates.fn_fold_stops() is 'Write stops and lifts that are not yet in the ledger into it; returns how many stops';
revoke execute on function iu_gates.fn_fold_stops() from public;

create or replace function iu_gates.fn_fold_trip(p_route text) returns void
language plpgsql
set search_path from current
set lock_timeout to '50ms'
as $$
begin
    -- The batch that tripped does not wait for the ledger: the next call does, but not for long, since it too
    -- holds the key of all batches, and who has the ledger may be waiting for that.
    if exists (select from iu_gates.stop as s
               where s.route_name = p_route and s.kind = 'trip' and s.lifted_at is null and s.ledger_seq is null) then
        perform iu_gates.fn_fold_stops();
    end if;
exception when lock_not_available or deadlock_detected then
    null;
end
$$;

comment on function iu_gates.fn_fold_trip(text) is 'Write a trip of this route into the ledger, if it is not there yet and the ledger is free';
revoke execute on function iu_gates.fn_fold_trip(text) from public;

create or replace function iu_gates.fn_take_barrier(p_route_no integer, p_wait_ms integer) returns boolean
language plpgsql security definer
set search_path from current
as $$
begin
    perform set_config('lock_timeout', greatest(p_wait_ms, 1)::text, true);
    if p_route_no is null then
        perform pg_advisory_xact_lock(18773001, 0);
    else
        perform pg_advisory_xact_lock(18773002, p_route_no);
    end if;
    return true;
exception when lock_not_available then
    return false;
end
$$;

comment on function iu_gates.fn_take_barrier(integer, integer)
is 'Wait until no batch is in hand, of all routes (null) or one; false after p_wait_ms milliseconds';
revoke execute on function iu_gates.fn_take_barrier(integer, integer) from public;

create or replace function iu_gates.fn_batches_in_hand(p_route_no integer)
returns table (pid integer, gid text, login text, application text, age interval, state text)
language sql stable security definer
set search_path from current
as $$
    select l.pid, x.gid, coalesce(a.usename, x.owner)::text, a.application_name,
           clock_timestamp() - coalesce(a.xact_start, x.prepared), case when l.pid is null then 'prepared' else a.state end
    from pg_locks as l
    left join pg_stat_activity as a on a.pid = l.pid
    -- A prepared transaction keeps the virtual id of its session; its xid's lock has the same.
    left join pg_locks as t on l.pid is null and t.pid is null and t.locktype = 'transactionid'
                               and t.virtualtransaction = l.virtualtransaction
    left join pg_prepared_xacts as x on x.transaction = t.transactionid
    where l.locktype = 'advisory' and l.granted and l.mode = 'ShareLock' and l.objsubid = 2
      and l.database = (select d.oid from pg_database as d where d.datname = current_database())
      and ((p_route_no is null and l.classid = 18773001)
           or (l.classid = 18773002 and l.objid = p_route_no::oid))
    order by 5 desc nulls last
$$;

comment on function iu_gates.fn_batches_in_hand(integer)
is 'Sessions and prepared transactions that hold a batch, of all routes (null) or one';
revoke execute on function iu_gates.fn_batches_in_hand(integer) from public;

create or replace function iu_gates.fn_hold_batches() returns void
language plpgsql
set search_path from current
set lock_timeout = '10s'
as $$
declare
    v_wait text := nullif(current_setting('iu_gates.barrier_wait', true), '');
begin
    -- A step says how long this try may last: workers that come later wait behind it (T24).
    if v_wait is not null then
        perform set_config('lock_timeout', v_wait, true);
    end if;
    perform pg_advisory_xact_lock(18773001, 0);
end
$$;

comment on function iu_gates.fn_hold_batches()
is 'Wait until no batch is in hand and let none begin until the end of this transaction';
revoke execute on function iu_gates.fn_hold_batches() from public;
