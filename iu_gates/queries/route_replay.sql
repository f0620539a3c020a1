select r.events, r.replayed, r.duplicates, r.last_event_id, r.failed_event_id, r.failed_sqlstate, r.failed_message
from :"iu_schema".fn_iu_route_replay(
    %(route)s, %(after)s, %(last)s, %(since)s, %(until)s, %(limit)s, %(key)s) as r
