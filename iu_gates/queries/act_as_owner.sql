-- For this session: the owner of our schemas, where the login is another; session_user stays. And
-- no end for being idle, as it is while pg_dump works for an hour.
select set_config('role', pg_get_userbyid(n.nspowner), false)
from pg_namespace as n
where n.nspname = 'iu_gates' and pg_get_userbyid(n.nspowner) <> current_user
union all
select set_config('idle_session_timeout', '0', false)
where current_setting('idle_session_timeout', true) <> '0'
