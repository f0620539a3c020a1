-- Who holds what a step waits for, the oldest transaction first: a lock that conflicts with a
-- needed one on a table or one of its partitions, or a batch in hand. Ages of another login's
-- sessions are null for a login that is not in pg_read_all_stats.
with recursive need as (
    select c.oid, n.modes
    from jsonb_to_recordset(%(needs)s::jsonb) as n (schema_name text, table_name text, modes text[])
    join pg_namespace as s on s.nspname = n.schema_name
    join pg_class as c on c.relnamespace = s.oid and c.relname = n.table_name
    union
    select i.inhrelid, n.modes
    from need as n
    join pg_inherits as i on i.inhparent = n.oid
),

granted as (
    select l.pid, l.virtualtransaction, n.oid::regclass::text as holds, false as is_batch
    from pg_locks as l
    join need as n on n.oid = l.relation and l.mode = any(n.modes)
    where l.locktype = 'relation' and l.granted
      and l.database = (select d.oid from pg_database as d where d.datname = current_database())
    union all
    select l.pid, l.virtualtransaction, 'the key of all batches', true
    from pg_locks as l
    where %(batches)s and l.locktype = 'advisory' and l.granted and l.classid = 18773001 and l.objid = 0
      and l.database = (select d.oid from pg_database as d where d.datname = current_database())
),

-- A prepared transaction keeps no pid: its xid's lock has the same virtual id.
blocker as (
    select h.pid, x.gid, h.virtualtransaction as xact, coalesce(a.usename, x.owner)::text as login,
           coalesce(a.application_name, '') as application, coalesce(a.backend_type, '') as kind,
           extract(epoch from statement_timestamp() - coalesce(a.xact_start, x.prepared, a.state_change))::float8
           as age_seconds,
           extract(epoch from statement_timestamp() - a.query_start)::float8 as query_seconds,
           left(regexp_replace(coalesce(a.query, ''), '\s+', ' ', 'g'), 60) as query,
           h.holds, h.is_batch
    from granted as h
    left join pg_stat_activity as a on a.pid = h.pid
    left join pg_locks as t on h.pid is null and t.pid is null and t.locktype = 'transactionid'
                               and t.virtualtransaction = h.virtualtransaction
    left join pg_prepared_xacts as x on x.transaction = t.transactionid
    where h.pid is distinct from pg_backend_pid()
)

select b.pid, b.gid, b.xact, b.login, b.application, b.kind, b.age_seconds, b.query_seconds, b.query,
       string_agg(distinct b.holds, ', ' order by b.holds) as holds, b.is_batch
from blocker as b
group by b.pid, b.gid, b.xact, b.login, b.application, b.kind, b.age_seconds, b.query_seconds, b.query, b.is_batch
order by b.age_seconds desc nulls last
limit 20
