-- For this session: the owner of our schemas, where the login is another. session_user stays.
select set_config('role', pg_get_userbyid(n.nspowner), false)
from pg_namespace as n
where n.nspname = 'iu_gates' and pg_get_userbyid(n.nspowner) <> current_user
