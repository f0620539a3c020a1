select :"iu_schema".fn_iu_route_add(%(route)s::jsonb, %(policy)s::jsonb, %(start)s) as carried
