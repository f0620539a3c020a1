update :"iu_schema".iu_outbound_route set enabled = true, dry_run = true where route_name = %(route)s
