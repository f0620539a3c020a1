select :"iu_schema".fn_iu_route_quota(%(route)s, null)
