create function fn_iu_routes_sift(p_routes text[], p_site_key text) returns text[]
language plpgsql volatile security definer
set search_path from current
as $$
declare
    v_cluster bigint;
    v_seq bigint;
    v_xid xid8;
    v_due text[];
    v_mine text[];
    v_moved text[];
    v_window iu_route_cursor;
begin
    -- The order of a batch: the key of all, sequence, own xid, keys of the routes, cursors, and only then
    -- the snapshot (T9), one for all. What is read after it shows all that it shows, so that a type that
    -- is not found is in nobody's window. All routes in each statement: batches wait for it.
    perform pg_advisory_xact_lock_shared(18773001, 0);
    v_cluster := fn_iu_worker_require(p_site_key);
    v_seq := fn_iu_event_seq();
    v_xid := pg_current_xact_id();
    perform pg_advisory_xact_lock_shared(18773002, o.route_no)
    from (select r.route_no from iu_outbound_route as r where r.route_name = any (p_routes) order by r.route_no) as o;
    with route as materialized (
        select r.route_name, r.route_no, fn_iu_route_mode(r.route_name) as mode
        from iu_outbound_route as r where r.route_name = any (p_routes) order by r.route_no
    ),
    mine as materialized (
        select r.*, case when r.mode in ('hold', 'held') then false
                         else pg_try_advisory_xact_lock(18773003, r.route_no) end as is_mine
        from route as r
    )
    select coalesce(array_agg(m.route_name) filter (where m.mode = 'held'), '{}'),
           coalesce(array_agg(m.route_name) filter (where m.is_mine), '{}')
    into v_due, v_mine
    from mine as m;
    if v_mine = '{}' then
        return v_due;
    end if;

    v_window := fn_iu_cursor_open(fn_iu_cursor_current(v_mine[1], 'live'), v_seq, v_xid);
    with reader as materialized (
        select r.event_type, fn_iu_cursor_current(r.route_name, 'live') as at
        from iu_outbound_route as r where r.route_name = any (v_mine)
    ),
    -- Most routes stand where the sift before this one left them: that place is looked at once.
    place as materialized (
        select distinct on ((r.at).old_snapshot::text, (r.at).old_xid, (r.at).old_seq) r.at
        from reader as r where (r.at).new_snapshot is null and (r.at).cluster_id = v_cluster
    ),
    look as materialized (
        select (p.at).old_snapshot::text as old_snapshot, (p.at).old_xid, (p.at).old_seq,
               fn_iu_late_xids(p.at, v_window.new_snapshot, v_xid) is not null as is_late
        from place as p
    ),
    fresh as materialized (
        select distinct e.event_type from iu_event as e
        where e.event_id > (select min((r.at).old_seq) from reader as r)
    ),
    judged as materialized (
        select r.at, l.is_late is distinct from false or f.event_type is not null as is_due
        from reader as r
        left join look as l on (r.at).new_snapshot is null and (r.at).cluster_id = v_cluster
          and l.old_snapshot = (r.at).old_snapshot::text and l.old_xid = (r.at).old_xid and l.old_seq = (r.at).old_seq
        left join fresh as f on f.event_type = r.event_type
    ),
    moved as (
        insert into iu_route_cursor as c (
            route_name, kind, cluster_id, old_stamp, old_snapshot, old_xid, old_seq)
        select (j.at).route_name, (j.at).kind, (j.at).cluster_id,
               v_window.new_stamp, v_window.new_snapshot, v_window.new_xid, v_window.new_seq
        from judged as j where not j.is_due
        returning c.route_name
    )
    select v_due || coalesce(array_agg((j.at).route_name) filter (where j.is_due), '{}'),
           (select array_agg(m.route_name) from moved as m)
    into v_due, v_moved
    from judged as j;

    -- One came, so one goes, as in fn_iu_cursor_move.
    delete from iu_route_cursor as c
    where c.cursor_no = any (array(
            select (select b.cursor_no from iu_route_cursor as b
                    where b.route_name = m.route_name and b.kind = 'delivery'
                    order by b.cursor_no desc offset 200 limit 1)
            from unnest(v_moved) as m (route_name)))
      and c.cluster_id = v_cluster and not c.is_start;
    return v_due;
end
$$;

comment on function fn_iu_routes_sift(text[], text)
is 'Move routes forward over events that are not theirs, all with one snapshot; the others are returned';
revoke execute on function fn_iu_routes_sift(text[], text) from public;
