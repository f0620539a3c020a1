-- ALTER DATABASE … SET, and ALTER ROLE … IN DATABASE … SET.
select
    coalesce(quote_ident(a.rolname), 'all roles') as identity,
    jsonb_object_agg(split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)) as attributes
from pg_db_role_setting s
left join pg_roles a on a.oid = s.setrole
cross join unnest(s.setconfig) o
where s.setdatabase = (select d.oid from pg_database d where d.datname = current_database())
group by a.rolname
