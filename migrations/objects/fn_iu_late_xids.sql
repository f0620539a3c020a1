create function fn_iu_late_xids(p_cursor iu_route_cursor, p_snapshot pg_snapshot, p_own xid8)
returns xid8[]
language plpgsql volatile
set search_path from current
as $$
declare
    v_after xid8 := (pg_snapshot_xmax(p_cursor.old_snapshot)::text::bigint - 1)::text::xid8;
    v_xids xid8[] := array[p_cursor.old_xid];
    v_late xid8[];
    v_xid xid8;
    v_event_id bigint;
begin
    -- Late committers: running in the old snapshot (listed in it, its own transaction, or in
    -- the gap from its xmax to its own xid), visible in p_snapshot, with events up to old_seq.
    -- The gap is two numbers, never a list (T10). It is searched between the transactions that
    -- run now, whose rows are never touched, so that a long one costs the others nothing. After
    -- a move, events of the old cluster stand under the same numbers; they are no business here.
    -- Mostly nothing runs and there is no gap: then one look-up is all.
    if pg_snapshot_xmin(p_cursor.old_snapshot) < pg_snapshot_xmax(p_cursor.old_snapshot) then
        v_xids := v_xids || array(select s.x from pg_snapshot_xip(p_cursor.old_snapshot) as s (x));
    end if;
    if pg_snapshot_xmax(p_cursor.old_snapshot) < p_cursor.old_xid then
        v_xids := v_xids || array(
            with recursive running (x) as (
                select s.x from pg_snapshot_xip(p_snapshot) as s (x)
                where s.x > v_after and s.x < p_cursor.old_xid
            ),
            fence (lo, hi) as (
                select f.x, coalesce(lead(f.x) over (order by f.x),
                                     least(p_cursor.old_xid, pg_snapshot_xmax(p_snapshot)))
                from (select r.x from running as r union all select v_after) as f (x)
            ),
            gap (x, hi) as (
                select n.xact_id, f.hi from fence as f cross join lateral (
                    select e.xact_id from iu_event as e
                    where e.xact_id > f.lo and e.xact_id < f.hi and e.cluster_id = p_cursor.cluster_id
                    order by e.xact_id limit 1) as n
                union all
                select n.xact_id, g.hi from gap as g cross join lateral (
                    select e.xact_id from iu_event as e
                    where e.xact_id > g.x and e.xact_id < g.hi and e.cluster_id = p_cursor.cluster_id
                    order by e.xact_id limit 1) as n
            )
            select g.x from gap as g);
    end if;
    foreach v_xid in array v_xids loop
        if pg_visible_in_snapshot(v_xid, p_snapshot) and v_xid is distinct from p_own
           and coalesce(pg_xact_status(v_xid), 'committed') = 'committed' then
            select e.event_id into v_event_id
            from iu_event as e
            where (e.xact_id, e.event_id) > (v_xid, 0::bigint) and (e.xact_id, e.event_id) <= (v_xid, p_cursor.old_seq)
              and e.cluster_id = p_cursor.cluster_id
            order by e.xact_id, e.event_id limit 1;
            if found then
                v_late := v_late || v_xid;
            end if;
        end if;
    end loop;
    return v_late;
end
$$;

comment on function fn_iu_late_xids(iu_route_cursor, pg_snapshot, xid8)
is 'Transactions that committed between the cursor''s old snapshot and this one and wrote events before it';
revoke execute on function fn_iu_late_xids(iu_route_cursor, pg_snapshot, xid8) from public;
