-- How far a prune may go: below what is too young and below the event that was named. The order of
-- capture is nearly that of time; the first that is too young ends it.
select least(
    coalesce((select max(e.event_id) from :"iu_schema".iu_event as e), 0),
    %(before)s::bigint - 1,
    (select e.event_id - 1 from :"iu_schema".iu_event as e
     where e.captured_at > now() - %(age)s::interval order by e.event_id limit 1)
) as upto,
       (select e.captured_at from :"iu_schema".iu_event as e order by e.event_id limit 1) as oldest
