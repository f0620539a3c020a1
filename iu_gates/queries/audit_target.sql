-- Rows of the target under the route's keys: each has an attempt, or its event was purged or pruned.
select count(*) filter (where o.is_unexplained) as unexplained,
       (array_agg(o.key) filter (where o.is_unexplained))[1:1000] as unexplained_names,
       count(*) as in_target
from (
    select t.:"key" as key,
           a.idempotency_key is null and not exists (
               select from iu_gates.purged_version as p
               where p.subject = k.named[2] and p.max_version_seq >= k.named[1]::bigint
           ) and not exists (
               select from iu_gates.pruned_event as p
               where p.event_type = %(event_type)s and p.subject = k.named[2] and p.versions @> k.named[1]::bigint
           ) as is_unexplained
    from :"outbox" as t
    cross join lateral (
        -- What follows the route and the type in a key: version and subject.
        select regexp_match(substr(t.:"key", length(%(prefix)s || %(event_type)s) + 1),
                            '^:(\d{1,18}):(.*)$') as named
    ) as k
    left join (
        select distinct t.idempotency_key
        from :"iu_schema".iu_route_attempt as t
        where t.route_name = %(route)s and t.status in ('sent', 'replayed', 'duplicate')
    ) as a on a.idempotency_key = t.:"key"
    where starts_with(t.:"key", %(prefix)s)
) as o
