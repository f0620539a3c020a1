select (select g.gate_value from :"iu_schema".iu_runtime_gate as g
        where g.gate_name = 'iu_core.route_worker_enabled') as gate_value,
       (select extract(epoch from max(a.attempted_at) - min(a.attempted_at))
        from :"iu_schema".iu_route_attempt as a
        where a.route_name = %(route)s and a.status = 'dry_run') as span_seconds
