create function fn_iu_cursor_prune() returns void
language sql volatile
set search_path from current
as $$
    -- A batch drops the row of 200 moves ago; this, what was left over: the newest 200 of each (route,
    -- kind) stay, where a route began, and what is of another cluster. While the gate is closed nothing
    -- goes: an export may be waiting for its purge. A row that a batch is dropping is left to it.
    delete from iu_route_cursor as d
    using (
        select c.cursor_no
        from iu_route_cursor as c
        join (
            select r.route_name, k.kind, n.cluster_id, (
                       select b.cursor_no from iu_route_cursor as b
                       where b.route_name = r.route_name and b.kind = k.kind
                       order by b.cursor_no desc offset 200 limit 1) as last_no
            from iu_outbound_route as r
            cross join (values ('delivery'), ('evaluation')) as k (kind)
            cross join lateral (
                select b.cluster_id from iu_route_cursor as b
                where b.route_name = r.route_name and b.kind = k.kind order by b.cursor_no desc limit 1) as n
        ) as o on c.route_name = o.route_name and c.kind = o.kind and c.cursor_no <= o.last_no
            and c.cluster_id = o.cluster_id
        where not c.is_start
          and exists (select from iu_runtime_gate as g where g.gate_value = 'true')
        for update of c skip locked
    ) as s
    where d.cursor_no = s.cursor_no;

    -- What was carried over and worked through, some at a time; evaluation is never behind delivery.
    delete from iu_route_carry_over as c
    using (
        select d.route_name, d.window_stamp, d.event_id
        from iu_outbound_route as r
        cross join lateral (
            select b.* from iu_route_cursor as b
            where b.route_name = r.route_name and b.kind = 'delivery' order by b.cursor_no desc limit 1) as p
        cross join lateral (
            select o.route_name, o.window_stamp, o.event_id from iu_route_carry_over as o
            where o.route_name = r.route_name
              and (o.window_stamp, o.event_id) <= (
                  coalesce(p.new_stamp, p.old_stamp),
                  case when p.is_carry_over then p.last_event_id else 9223372036854775807 end)
            order by o.window_stamp, o.event_id limit 5000) as d
    ) as o
    where c.route_name = o.route_name and c.window_stamp = o.window_stamp and c.event_id = o.event_id
      and exists (select from iu_runtime_gate as g where g.gate_value = 'true')
$$;

comment on function fn_iu_cursor_prune() is 'Remove cursor rows and carried-over events that nobody will look at again';
revoke execute on function fn_iu_cursor_prune() from public;
