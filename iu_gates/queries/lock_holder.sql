select format('pid %%s, login %%s, %%s, from %%s, since %%s', a.pid, a.usename, a.application_name,
              coalesce(host(a.client_addr), 'this machine'), date_trunc('second', a.backend_start)) as holder
from pg_locks as l
join pg_stat_activity as a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.classid = %(key)s and l.objid = 0 and a.datname = current_database()
