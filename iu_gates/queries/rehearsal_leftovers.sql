-- Databases that are named like ours: the mark is a comment with the session that made it.
select l.name, l.pid is not null as is_marked, a.pid is not null as is_used
from (
    select d.datname::text as name,
           substring(shobj_description(d.oid, 'pg_database') from '^iu-gates rehearsal, session (\d+)$')::integer as pid
    from pg_database as d
    where d.datname ~ '^iu_gates_rehearsal_[0-9a-f]{12}$'
) as l
left join pg_stat_activity as a on a.pid = l.pid
order by l.name
