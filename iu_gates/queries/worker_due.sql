select w.seen::text as seen, w.due, w.far, w.held_back
from :"iu_schema".fn_iu_routes_due(%(seen)s::pg_snapshot, %(far)s) as w
