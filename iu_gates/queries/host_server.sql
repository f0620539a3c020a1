-- The server, and the rights of whoever will act: the owner of our schemas, once they are there.
select current_setting('server_version_num')::integer as server_version_num,
       current_setting('server_version') as server_version,
       pg_is_in_recovery() as in_recovery,
       current_setting('default_transaction_read_only') = 'on' as read_only,
       current_database()::text as database,
       pg_get_userbyid(o.oid)::text as login,
       pg_database_size(current_database()) as database_bytes,
       o.is_installed or has_database_privilege(o.oid, current_database(), 'create') as may_create,
       has_database_privilege(o.oid, current_database(), 'temporary') as may_temp,
       coalesce((select pg_has_role(o.oid, c.relowner, 'usage') or has_table_privilege(o.oid, c.oid, 'trigger')
                 from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
                 where n.nspname = %(schema)s and c.relname = %(unit_table)s), false) as may_trigger,
       -- Its owner's function may stand for the owner: see migrations/rights.sql.
       coalesce((select pg_has_role(o.oid, c.relowner, 'usage') or exists (
                     select from pg_proc as p join pg_namespace as f on f.oid = p.pronamespace
                     where f.nspname = 'iu_gates' and p.proname = 'fn_capture_always'
                       and p.proowner = c.relowner and has_function_privilege(o.oid, p.oid, 'execute'))
                 from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
                 where n.nspname = %(schema)s and c.relname = %(unit_table)s), false) as owns_unit_table,
       coalesce((select has_table_privilege(o.oid, c.oid, 'insert') and has_table_privilege(o.oid, c.oid, 'select')
                 from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
                 where n.nspname = %(schema)s and c.relname = %(outbox_table)s), false) as may_write_outbox,
       coalesce((select has_schema_privilege(o.oid, n.oid, 'usage') from pg_namespace as n
                 where n.nspname = %(schema)s), false) as may_use_schema,
       (select coalesce(array_agg(format('%%s on %%s', t.tgname, c.relname) order by 1), '{}')
        from pg_trigger as t join pg_class as c on c.oid = t.tgrelid join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = %(schema)s and c.relname in (%(unit_table)s, %(outbox_table)s)
          and not t.tgisinternal and t.tgname not like 'iu\_%%') as host_triggers,
       (select coalesce(array_agg(e.evtname::text order by 1), '{}') from pg_event_trigger as e
        where e.evtenabled <> 'D') as event_triggers,
       (select count(*) from pg_inherits as i join pg_class as c on c.oid = i.inhparent
        join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = %(schema)s and c.relname = %(unit_table)s) as partitions
from (
    select coalesce(max(n.nspowner), (select r.oid from pg_roles as r where r.rolname = current_user)) as oid,
           count(*) > 0 as is_installed
    from pg_namespace as n where n.nspname = 'iu_gates'
) as o
