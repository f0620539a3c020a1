-- A prune, step by step: which events may go, what an export has seen, a batch, the ledger.

create or replace function iu_gates.fn_prune_fates(p_after bigint, p_upto bigint, p_limit integer)
returns table (event_id bigint, fate text, route_name text)
language plpgsql stable
set search_path from current
set jit to off
as $$
declare
    v_last bigint;
begin
    select max(b.event_id) into v_last from (
        select e.event_id from :"iu_schema".iu_event as e
        where e.event_id > p_after and e.event_id <= p_upto order by e.event_id limit p_limit) as b;
    -- go; kept: an open dead letter, waiting to be tried again, or failed within the window of a
    -- trip; waiting: a route has not delivered it; skipped: passed over, which no prune may hide.
    -- A route without a cursor was never there; one that began later was never meant. Each table is
    -- read once, in the range of these events: that costs the same however long the history is (P12).
    return query
    with event as materialized (
        select e.event_id, e.event_type, e.cluster_id, e.xact_id, e.subject, e.payload, e as event
        from :"iu_schema".iu_event as e where e.event_id > p_after and e.event_id <= v_last
    ),

    place as materialized (
        select r.route_name as route, r.event_type, r.event_filter, r.trip_seconds, c.at, b.began
        from :"iu_schema".iu_outbound_route as r
        cross join lateral (
            select d as at from :"iu_schema".iu_route_cursor as d
            where d.route_name = r.route_name and d.kind = 'delivery' order by d.cursor_no desc limit 1) as c
        left join lateral (
            select s as began from :"iu_schema".iu_route_cursor as s
            where s.route_name = r.route_name and s.is_start order by s.cursor_no desc limit 1) as b on true
    ),

    done as materialized (
        select p.route, a.event_id from place as p
        join :"iu_schema".iu_route_attempt as a
            on a.route_name = p.route and a.event_id > p_after and a.event_id <= v_last and a.status in ('sent', 'dry_run')
        union
        select a.route_name, a.event_id from :"iu_schema".iu_route_attempt as a
        where a.event_id > p_after and a.event_id <= v_last and a.status in ('duplicate', 'replayed', 'skipped')
    ),

    kept as materialized (
        select k.route_name as route, k.event_id from place as p
        join :"iu_schema".iu_route_parked as k
            on k.route_name = p.route and k.event_id > p_after and k.event_id <= v_last
        union
        select d.route_name, d.event_id from place as p
        join :"iu_schema".iu_route_dead_letter as d
            on d.route_name = p.route and d.event_id > p_after and d.event_id <= v_last
        where (select v.dead_letter_id from :"iu_schema".iu_route_redrive as v
               where v.dead_letter_id = d.dead_letter_id) is null
        union
        select a.route_name, a.event_id from place as p
        join :"iu_schema".iu_route_attempt as a
            on a.route_name = p.route and a.event_id > p_after and a.event_id <= v_last
            and a.status = 'failed'
        where a.attempted_at > now() - make_interval(secs => p.trip_seconds)
    ),

    carried as materialized (
        select p.route, c.event_id from place as p
        join :"iu_schema".iu_route_carry_over as c
            on (p.at).is_carry_over and c.route_name = p.route and c.window_stamp = (p.at).new_stamp
            and c.event_id > greatest((p.at).last_event_id, p_after) and c.event_id <= v_last
    ),

    look as (
        select e.event_id, p.route, d.event_id is not null as is_done, k.event_id is not null as is_kept,
               coalesce(case
                   when (p.began).is_carry_over and e.event_id > (p.began).last_event_id then false
                   when e.cluster_id = (p.began).cluster_id then pg_visible_in_snapshot(e.xact_id, (p.began).old_snapshot)
                   else e.event_id <= (p.began).old_seq end, false) as is_before,
               c.event_id is null and :"iu_schema".fn_iu_cursor_has_passed(p.at, e.event) as is_passed
        from event as e
        join place as p
            on p.event_type = e.event_type and :"iu_schema".fn_iu_route_takes(p.event_filter, e.subject, e.payload)
        left join done as d on d.route = p.route and d.event_id = e.event_id
        left join kept as k on k.route = p.route and k.event_id = e.event_id
        left join carried as c on c.route = p.route and c.event_id = e.event_id
    ),

    judged as (
        select l.event_id, l.route,
               case when l.is_kept then 1
                   when l.is_done and l.is_passed or l.is_before then 0
                   when not l.is_passed then 3
                   else 2 end as rank
        from look as l
    )

    select e.event_id,
           -- Kept is kept, also for a route that would not take the event any more.
           (array['go', 'kept', 'skipped', 'waiting'])[greatest(
               max(j.rank), case when e.event_id in (select k.event_id from kept as k) then 1 else 0 end) + 1],
           (array_agg(j.route order by j.rank desc, j.route))[1]
    from event as e
    left join judged as j on j.event_id = e.event_id
    group by e.event_id
    order by e.event_id;
end
$$;

comment on function iu_gates.fn_prune_fates(bigint, bigint, integer)
is 'Of the next events: which may go, which stay, and which no prune may pass, with the route that says so';
revoke execute on function iu_gates.fn_prune_fates(bigint, bigint, integer) from public;

create or replace function iu_gates.fn_prune_guard() returns trigger
language plpgsql
set search_path from current
as $$
declare
    v_export jsonb;
begin
    select l.facts into v_export from iu_gates.ledger as l
    where l.kind = 'export' and l.subject = 'history' and l.facts ->> 'digest' = new.export_digest
    order by l.seq desc limit 1;
    if v_export ->> 'seen_before' is null or coalesce((v_export ->> 'upto')::bigint < new.upto_event_id, false) then
        raise exception 'no export holds what would go'
            using errcode = 'IUG40',
                  detail = format('export "%s", up to event %s', new.export_digest, new.upto_event_id),
                  hint = 'iu-gates ledger show --kind export --json';
    end if;
    -- Transactions of another cluster are other ones under the same numbers.
    if not exists (
        select from pg_control_system() as s
        join pg_database as d on d.datname = current_database()
        where s.system_identifier::text = v_export -> 'database' ->> 'system_identifier'
          and d.oid::text = v_export -> 'database' ->> 'oid'
    ) then
        raise exception 'the export is of another database'
            using errcode = 'IUG40', hint = 'iu-gates history prune';
    end if;
    new.seen_before := (v_export ->> 'seen_before')::xid8;
    new.begun_by := session_user;
    new.begun_at := clock_timestamp();
    return new;
end
$$;

comment on function iu_gates.fn_prune_guard() is 'Let a prune begin only of what an export of this database holds';
revoke execute on function iu_gates.fn_prune_guard() from public;

create or replace trigger prune_guard
before insert on iu_gates.prune
for each row execute function iu_gates.fn_prune_guard();

create or replace function iu_gates.fn_prune_unseen(p_after bigint, p_upto bigint, p_seen_before xid8) returns bigint[]
language plpgsql stable
set search_path from current
as $$
declare
    v_here bigint := pg_snapshot_xmax(pg_current_snapshot())::text::bigint;
    v_age bigint := v_here - p_seen_before::text::bigint;
begin
    -- xmin is 32 bits wide: how many transactions ago a row was written, against how many ago the
    -- oldest was that the export may not have seen. A row that is older than all of 32 bits may
    -- pass for a newer one, and stays; never the other way round.
    return array(
        select w.event_id from (
            select e.event_id, e.xmin as xid from :"iu_schema".iu_event as e
            where e.event_id > p_after and e.event_id <= p_upto
            union all
            select a.event_id, a.xmin from :"iu_schema".iu_outbound_route as r
            join :"iu_schema".iu_route_attempt as a
                on a.route_name = r.route_name and a.event_id > p_after and a.event_id <= p_upto
                and a.status in ('dry_run', 'held', 'sent')
            union all
            select a.event_id, a.xmin from :"iu_schema".iu_route_attempt as a
            where a.event_id > p_after and a.event_id <= p_upto
              and a.status in ('failed', 'duplicate', 'replayed', 'skipped')
            union all
            select d.event_id, x.xid from :"iu_schema".iu_outbound_route as r
            join :"iu_schema".iu_route_dead_letter as d
                on d.route_name = r.route_name and d.event_id > p_after and d.event_id <= p_upto
            cross join lateral (
                select d.xmin union all
                select v.xmin from :"iu_schema".iu_route_redrive as v where v.dead_letter_id = d.dead_letter_id) as x (xid)
        ) as w
        where ((v_here - w.xid::text::bigint) & 4294967295) <= v_age);
end
$$;

comment on function iu_gates.fn_prune_unseen(bigint, bigint, xid8)
is 'Events of a range of which a row was written by a transaction that the export may not have seen';
revoke execute on function iu_gates.fn_prune_unseen(bigint, bigint, xid8) from public;

create or replace function iu_gates.fn_prune_remove(p_event_ids bigint[], p_batch_no bigint)
returns table (events bigint, attempts bigint, dead_letters bigint)
language plpgsql
set search_path from current
as $$
begin
    with gone as (
        delete from :"iu_schema".iu_event as e where e.event_id = any (p_event_ids)
        returning e.event_type, e.subject, e.version_seq
    ),
    known as (
        insert into iu_gates.pruned_event as p (event_type, subject, versions)
        select g.event_type, g.subject, range_agg(int8range(g.version_seq, g.version_seq, '[]'))
        from gone as g group by g.event_type, g.subject order by g.event_type, g.subject
        on conflict (event_type, subject) do update set versions = p.versions + excluded.versions
    )
    select count(*) into events from gone as g;

    with gone as (
        delete from :"iu_schema".iu_route_attempt as a
        using :"iu_schema".iu_outbound_route as r
        where a.route_name = r.route_name and a.event_id = any (p_event_ids) and a.status in ('dry_run', 'held', 'sent')
        returning a.route_name, a.status, a.attempted_at
    ),
    other as (
        delete from :"iu_schema".iu_route_attempt as a
        where a.event_id = any (p_event_ids) and a.status in ('failed', 'duplicate', 'replayed', 'skipped')
        returning a.route_name, a.status, a.attempted_at
    ),
    counted as (
        insert into iu_gates.pruned_attempt as p (batch_no, route_name, status, attempts, first_at, last_at)
        select p_batch_no, g.route_name, g.status, count(*), min(g.attempted_at), max(g.attempted_at)
        from (select g.* from gone as g union all select o.* from other as o) as g
        group by g.route_name, g.status
        returning p.attempts
    )
    select coalesce(sum(c.attempts), 0) into attempts from counted as c;

    delete from :"iu_schema".iu_route_redrive as v
    using :"iu_schema".iu_outbound_route as r, :"iu_schema".iu_route_dead_letter as d
    where d.route_name = r.route_name and d.event_id = any (p_event_ids) and v.dead_letter_id = d.dead_letter_id;
    delete from :"iu_schema".iu_route_dead_letter as d
    using :"iu_schema".iu_outbound_route as r
    where d.route_name = r.route_name and d.event_id = any (p_event_ids);
    get diagnostics dead_letters = row_count;
    return next;
end
$$;

comment on function iu_gates.fn_prune_remove(bigint[], bigint)
is 'Remove events with all that is about them, and write down which they were; a batch''s, no one else''s';
revoke execute on function iu_gates.fn_prune_remove(bigint[], bigint) from public;

create or replace function iu_gates.fn_prune_batch() returns trigger
language plpgsql
set search_path from current
set lock_timeout to '2s'
as $$
declare
    v_prune iu_gates.prune;
    v_looked bigint[];
    v_ids bigint[];
    v_unseen bigint[];
    v_blocked bigint;
begin
    -- What is seen must be newer than the key.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'a batch of a prune needs READ COMMITTED, not %', current_setting('transaction_isolation')
            using errcode = 'IUG10', hint = 'iu-gates history prune --dry-run';
    end if;
    select p.* into strict v_prune from iu_gates.prune as p where p.prune_no = new.prune_no;
    -- Whoever puts past events to work again (replay, a route that begins in the past) holds this
    -- shared: then we see what he has done, or he sees what we have.
    perform pg_advisory_xact_lock(18773008, 1);
    select coalesce(max(b.upto_event_id), 0) into new.after_event_id from iu_gates.prune_batch as b
    where b.prune_no = new.prune_no;
    select array_agg(f.event_id order by f.event_id),
           coalesce(array_agg(f.event_id order by f.event_id) filter (where f.fate = 'go'), '{}'),
           min(f.event_id) filter (where f.fate in ('waiting', 'skipped'))
    into v_looked, v_ids, v_blocked
    from iu_gates.fn_prune_fates(new.after_event_id, v_prune.upto_event_id, new.asked) as f;
    if v_blocked is not null then
        raise exception 'event % is not done with: a route has not delivered it', v_blocked
            using errcode = 'IUG40', hint = format('iu-gates history prune --before %s', v_blocked);
    end if;
    v_unseen := iu_gates.fn_prune_unseen(new.after_event_id, v_looked[cardinality(v_looked)], v_prune.seen_before);
    v_ids := array(select i.id from unnest(v_ids) as i (id) where i.id <> all (v_unseen) order by i.id);
    perform set_config('iu_gates.pruning', pg_current_xact_id()::text, true);
    select r.events, r.attempts, r.dead_letters into new.events, new.attempts, new.dead_letters
    from iu_gates.fn_prune_remove(v_ids, new.batch_no) as r;
    perform set_config('iu_gates.pruning', '', true);
    new.kept := coalesce(cardinality(v_looked), 0) - new.events;
    new.upto_event_id := case when coalesce(cardinality(v_looked), 0) < new.asked then v_prune.upto_event_id
                             else v_looked[cardinality(v_looked)] end;
    new.pruned_at := clock_timestamp();
    return new;
end
$$;

comment on function iu_gates.fn_prune_batch() is 'Remove the next events of a prune that may go; each batch looks for itself';
revoke execute on function iu_gates.fn_prune_batch() from public;

create or replace trigger prune_batch_removes
before insert on iu_gates.prune_batch
for each row execute function iu_gates.fn_prune_batch();

create or replace function iu_gates.fn_prune_facts(p_prune_no bigint) returns jsonb
language sql stable
set search_path from current
as $$
    select jsonb_build_object(
        'prune_no', p.prune_no, 'export', p.export_digest, 'upto', p.upto_event_id, 'begun_by', p.begun_by,
        'batches', count(b.batch_no), 'reached', coalesce(max(b.upto_event_id), 0),
        'events', coalesce(sum(b.events), 0), 'attempts', coalesce(sum(b.attempts), 0),
        'dead_letters', coalesce(sum(b.dead_letters), 0), 'kept', coalesce(sum(b.kept), 0))
    from iu_gates.prune as p
    left join iu_gates.prune_batch as b on b.prune_no = p.prune_no
    where p.prune_no = p_prune_no
    group by p.prune_no
$$;

comment on function iu_gates.fn_prune_facts(bigint) is 'What a prune has removed so far, as facts for the ledger';
revoke execute on function iu_gates.fn_prune_facts(bigint) from public;

create or replace function iu_gates.fn_prune_begin(p_export_digest text, p_upto_event_id bigint) returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_prune_no bigint;
begin
    -- One that was cut off has no end in the ledger: it gets one here.
    perform iu_gates.fn_ledger_append('retention', 'cut off', iu_gates.fn_prune_facts(p.prune_no))
    from iu_gates.prune as p
    where not exists (
        select from iu_gates.ledger as l
        where l.kind = 'retention' and l.subject in ('done', 'cut off') and (l.facts ->> 'prune_no')::bigint = p.prune_no)
    order by p.prune_no;
    insert into iu_gates.prune (export_digest, upto_event_id) values (p_export_digest, p_upto_event_id)
    returning prune_no into v_prune_no;
    perform iu_gates.fn_ledger_append('retention', 'begun', iu_gates.fn_prune_facts(v_prune_no));
    return v_prune_no;
end
$$;

comment on function iu_gates.fn_prune_begin(text, bigint) is 'Begin a prune of what an export holds, up to an event; returns its number';
revoke execute on function iu_gates.fn_prune_begin(text, bigint) from public;

create or replace function iu_gates.fn_prune_end(p_prune_no bigint) returns jsonb
language plpgsql
set search_path from current
as $$
declare
    v_facts jsonb := iu_gates.fn_prune_facts(p_prune_no);
begin
    perform iu_gates.fn_ledger_append('retention', 'done', v_facts);
    return v_facts;
end
$$;

comment on function iu_gates.fn_prune_end(bigint) is 'Write a prune that is done into the ledger; returns its facts';
revoke execute on function iu_gates.fn_prune_end(bigint) from public;
