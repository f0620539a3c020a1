-- Who we are on the server of a rehearsal, what we may, and where its data are, if we may know.
select current_user::text as login,
       r.rolsuper as is_superuser,
       r.rolsuper or r.rolcreatedb as may_create,
       pg_is_in_recovery() as in_recovery,
       current_setting('server_version_num')::integer / 10000 as major,
       case when pg_has_role('pg_read_all_settings', 'usage')
            then current_setting('data_directory') end as data_directory
from pg_roles as r
where r.rolname = current_user
