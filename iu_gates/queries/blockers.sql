-- Who holds a lock that a step of DDL would wait for, the oldest first: on the host's tables
-- whoever writes (readers do not hold up a trigger), on ours everybody, and batches in hand.
select b.blocker
from (
    select distinct on (coalesce(a.pid::text, x.gid))
           coalesce(a.xact_start, x.prepared) as since,
           case when a.pid is not null then
               format('pid %%s, login %%s, %%s, open for %%s: %%s', a.pid, a.usename,
                      coalesce(nullif(a.application_name, ''), 'no application'),
                      date_trunc('milliseconds', clock_timestamp() - a.xact_start),
                      left(regexp_replace(a.query, '\s+', ' ', 'g'), 60))
           else
               format('prepared transaction %%L, login %%s, open for %%s', x.gid, x.owner,
                      date_trunc('milliseconds', clock_timestamp() - x.prepared))
           end as blocker
    from pg_locks as l
    left join pg_stat_activity as a on a.pid = l.pid
    left join pg_locks as t on l.pid is null and t.pid is null and t.locktype = 'transactionid'
                               and t.virtualtransaction = l.virtualtransaction
    left join pg_prepared_xacts as x on x.transaction = t.transactionid
    left join pg_class as c on c.oid = l.relation
    left join pg_namespace as n on n.oid = c.relnamespace
    where l.granted and l.pid is distinct from pg_backend_pid()
      and l.database = (select d.oid from pg_database as d where d.datname = current_database())
      and coalesce(a.xact_start, x.prepared) is not null
      and ((l.locktype = 'relation' and n.nspname = %(schema)s
            and l.mode not in ('AccessShareLock', 'RowShareLock'))
           or (l.locktype = 'relation' and n.nspname in (trim('"' from ':"iu_schema"'), 'iu_gates'))
           or (l.locktype = 'advisory' and l.classid in (18773001, 18773002)))
) as b
order by b.since
limit 5
