-- What a re-base has to know: this database, the one that was installed, and who still writes.
select i.iu_schema,
       i.site_key_sha256,
       i.system_identifier::text as installed_cluster,
       s.system_identifier::text as cluster,
       d.oid = i.database_oid and s.system_identifier = i.system_identifier as same_database,
       to_regclass(format('%I.iu_route_cursor', i.iu_schema)) is not null as has_cursors,
       (select o.datname::text from pg_database as o
        where s.system_identifier = i.system_identifier and o.oid = i.database_oid
          and o.oid <> d.oid and o.datallowconn) as original,
       (select array_agg(distinct u.subname::text)
        from pg_subscription as u
        join pg_subscription_rel as r on r.srsubid = u.oid
        join pg_class as c on c.oid = r.srrelid
        join pg_namespace as n on n.oid = c.relnamespace and n.nspname in ('iu_gates', i.iu_schema)
        where u.subdbid = d.oid and u.subenabled) as subscriptions
from iu_gates.installation as i
cross join pg_control_system() as s
join pg_database as d on d.datname = current_database()
