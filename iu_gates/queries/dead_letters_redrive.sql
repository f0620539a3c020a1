select :"iu_schema".fn_iu_route_redrive(%(ids)s, %(asked)s::jsonb) as redriven
