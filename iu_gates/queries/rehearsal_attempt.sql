-- Hand events to the seam, as a worker does with a batch.
select a.sent, a.duplicates, a.dead + a.parked as dead
from :"iu_schema".fn_iu_route_attempt(%(route)s, %(events)s) as a
