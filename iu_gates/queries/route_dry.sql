select :"iu_schema".fn_iu_route_dry(%(route)s)
