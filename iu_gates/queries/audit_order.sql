-- Of the units in which a later event was attempted first: where that is out of order (P3). Two that were
-- written by transactions at one time may come either way. Out of order are those of one transaction, and those of
-- one batch, as far as the rows themselves tell whose they are: a restored row has another transaction's number.
-- Where the server keeps the times of commits, also an event of a transaction that began after the earlier one's
-- had committed.
with effect as (
    select e.event_id, e.subject, e.version_seq, e.captured_at, a.first_effect, o.batch, o.committed_at,
           max(a.first_effect) over (partition by e.subject, e.cluster_id, e.xact_id order by e.event_id
                                     rows between unbounded preceding and 1 preceding) as in_transaction,
           max(a.first_effect) over (partition by e.subject, o.batch order by e.event_id
                                     rows between unbounded preceding and 1 preceding) as in_batch
    from :"iu_schema".iu_event as e
    inner join (
        select t.event_id, min(t.attempt_id) as first_effect, min(t.xmin::text) as batch
        from :"iu_schema".iu_route_attempt as t
        where t.route_name = %(route)s and t.status in ('sent', 'dry_run')
        group by t.event_id
    ) as a on a.event_id = e.event_id
    left join lateral (
        select a.batch,
               case when current_setting('track_commit_timestamp') = 'on'
                   then pg_xact_commit_timestamp(e.xact_id::xid) end as committed_at
        where e.xmin::text::numeric = mod(e.xact_id::text::numeric, 4294967296)
    ) as o on true
    where e.event_type = %(event_type)s and e.subject = any(%(subjects)s)
      and not exists (
          select from :"iu_schema".iu_route_dead_letter as d
          where d.route_name = %(route)s and d.event_id = e.event_id)
),

-- By the clock: beginnings before commits of the same instant, so that only what had committed counts.
moment as (
    select f.event_id, f.subject, f.first_effect, f.captured_at as happened_at, false as is_commit from effect as f
    union all
    select f.event_id, f.subject, f.first_effect, f.committed_at, true from effect as f
    where f.committed_at is not null
),

after_a_commit as (
    select m.event_id, m.is_commit, m.first_effect,
           max(m.first_effect) filter (where m.is_commit) over (
               partition by m.subject order by m.happened_at, m.is_commit
               rows between unbounded preceding and 1 preceding) as before
    from moment as m
)

select count(*) as reordered,
       (array_agg(f.subject || ' version ' || f.version_seq order by f.event_id))[1:1000] as reordered_names
from effect as f
left join after_a_commit as c on c.event_id = f.event_id and not c.is_commit and c.first_effect < c.before
where f.first_effect < f.in_transaction
   or f.batch is not null and f.first_effect < f.in_batch
   or c.event_id is not null
