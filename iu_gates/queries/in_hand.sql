-- Batches in hand, and whoever else keeps the barrier from being had: a step or a proof that
-- holds the key exclusively.
select b.pid, b.gid, b.login, b.application, extract(epoch from b.age)::double precision as age_seconds, b.state
from iu_gates.fn_batches_in_hand(%(route_no)s) as b
union all
select a.pid, null, a.usename::text, a.application_name,
       extract(epoch from clock_timestamp() - a.xact_start)::double precision, 'holds all batches'
from pg_locks as l
join pg_stat_activity as a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.mode = 'ExclusiveLock' and l.objsubid = 2
  and l.pid <> pg_backend_pid()
  and l.database = (select d.oid from pg_database as d where d.datname = current_database())
  and ((%(route_no)s::integer is null and l.classid = 18773001)
       or (l.classid = 18773002 and l.objid = %(route_no)s::oid))
order by 5 desc nulls last
