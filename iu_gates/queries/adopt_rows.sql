select (select count(*) > 0 from :"iu_schema".iu_runtime_gate as g
        where g.gate_name = 'iu_core.route_worker_enabled') as has_gate,
       (select count(*) > 0 from :"iu_schema".iu_runtime_gate as g where g.gate_value = 'true') as is_open,
       (select count(*) > 0 from :"iu_schema".iu_outbound_route as r where r.route_name = %(route)s) as has_route,
       (select count(*) > 0 from :"iu_schema".iu_route_cursor as c where c.route_name = %(route)s) as has_cursor,
       (select r.event_type || ', ' || r.target_kind || ': ' || r.target_ref
               || case when r.enabled then ', enabled' else '' end
        from :"iu_schema".iu_outbound_route as r where r.route_name = %(route)s) as target,
       (select coalesce(array_agg(r.route_name order by r.route_name), '{}')
        from :"iu_schema".iu_outbound_route as r where r.enabled and not r.dry_run) as live
