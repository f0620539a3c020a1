-- Of the next events: how many may go, how many stay, and the first that no prune may pass.
with fate as (
    select f.* from iu_gates.fn_prune_fates(%(after)s, %(upto)s, %(limit)s) as f
),

blocked as (
    select f.* from fate as f where f.fate in ('waiting', 'skipped') order by f.event_id limit 1
)

select count(*) as looked,
       max(f.event_id) as last,
       count(*) filter (where f.fate = 'go' and (b.event_id is null or f.event_id < b.event_id)) as go,
       count(*) filter (where f.fate = 'kept' and (b.event_id is null or f.event_id < b.event_id)) as kept,
       max(b.event_id) as blocked,
       max(b.fate) as fate,
       max(b.route_name) as route,
       max((select e.subject || ' version ' || e.version_seq from :"iu_schema".iu_event as e
            where e.event_id = b.event_id)) as name
from fate as f
left join blocked as b on true
