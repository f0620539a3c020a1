select :"iu_schema".fn_iu_route_live(%(route)s, 1, iu_gates.fn_usable_approval(
    %(route)s, iu_gates.fn_route_definition_hash(%(route)s)))
