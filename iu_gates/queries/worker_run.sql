select w.state, w.events, w.sent, w.duplicates, w.dead, w.parked
from :"iu_schema".fn_iu_route_worker_run(%(route)s, %(limit)s, %(key)s) as w
