-- What was pruned was evidence, and stays so for as long as its route.
with dry as (
    select count(*) as attempts, min(a.attempted_at) as first_at, max(a.attempted_at) as last_at
    from :"iu_schema".iu_route_attempt as a
    where a.route_name = %(route)s and a.status = 'dry_run'
),

pruned as (
    select coalesce(sum(p.attempts), 0)::bigint as attempts, min(p.first_at) as first_at, max(p.last_at) as last_at
    from iu_gates.pruned_attempt as p
    join :"iu_schema".iu_outbound_route as r on r.route_name = p.route_name and p.first_at >= r.created_at
    where p.route_name = %(route)s and p.status = 'dry_run'
)

select (select g.gate_value from :"iu_schema".iu_runtime_gate as g
        where g.gate_name = 'iu_core.route_worker_enabled') as gate_value,
       extract(epoch from greatest(d.last_at, p.last_at) - least(d.first_at, p.first_at)) as span_seconds,
       p.attempts as pruned
from dry as d
cross join pruned as p
