-- What a skip would give up, and what stays.
select count(*) filter (where p.event_id < coalesce(%(to)s, 9223372036854775807)) as events,
       min(p.event_id) filter (where p.event_id < coalesce(%(to)s, 9223372036854775807)) as first,
       max(p.event_id) filter (where p.event_id < coalesce(%(to)s, 9223372036854775807)) as last,
       count(*) filter (where p.event_id >= %(to)s) as kept,
       min(p.event_id) as next,
       :"iu_schema".fn_iu_event_seq() as last_drawn
from :"iu_schema".fn_iu_cursor_pending(
    :"iu_schema".fn_iu_cursor_current(%(route)s, 'live'), pg_current_snapshot(), null) as p
