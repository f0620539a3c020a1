select :"iu_schema".fn_iu_route_set(%(route)s, %(policy)s::jsonb) as changed
