select :"iu_schema".fn_iu_route_skip(%(route)s, %(to)s) as facts
