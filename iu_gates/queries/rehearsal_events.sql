-- Events captured after a mark (none if it is null), and the last event, which is the next mark.
select coalesce((select array_agg(e.event_id order by e.event_id) from :"iu_schema".iu_event as e
                 where e.event_id > %(after)s), '{}') as events,
       coalesce((select max(e.event_id) from :"iu_schema".iu_event as e), 0) as last
