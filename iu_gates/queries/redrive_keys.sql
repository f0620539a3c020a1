-- The workers' keys of one route or all, in the order of their numbers.
select pg_advisory_xact_lock(18773003, r.route_no)
from (
    select o.route_no
    from :"iu_schema".iu_outbound_route as o
    where %(route)s::text is null or o.route_name = %(route)s
    order by o.route_no
    offset 0
) as r
