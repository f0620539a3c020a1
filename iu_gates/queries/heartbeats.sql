select h.worker_id, h.invocation, h.last_state as state,
       extract(epoch from clock_timestamp() - h.seen_at)::double precision as age_seconds
from :"iu_schema".iu_worker_heartbeat as h
order by h.seen_at desc
