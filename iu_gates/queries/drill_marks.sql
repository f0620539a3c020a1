-- Attempts that moved something: in a drill nothing else may come after the barrier.
select coalesce((select max(a.attempt_id) from :"iu_schema".iu_route_attempt as a), 0) as attempt_id,
       (select count(*) from :"iu_schema".iu_route_attempt as a where a.route_name = %(route)s) as attempts,
       coalesce((select max(e.event_id) from :"iu_schema".iu_event as e), 0) as event_id
