select s.epoch, s.route_name as route, s.kind, s.reason, s.stopped_by as by, s.stopped_at as at
from iu_gates.stop as s
where s.lifted_at is null
order by s.epoch
