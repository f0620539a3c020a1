-- This login, its groups, and whether it may act for the owner of our schemas.
select session_user::text as login,
       coalesce((select array_agg(g.rolname::text order by g.rolname) from pg_roles as g
                 where g.rolname in ('iu_gates_operator', 'iu_gates_approver', 'iu_gates_worker', 'iu_gates_auditor')
                   and not l.rolsuper and pg_has_role(l.oid, g.oid, 'member')), '{}') as groups,
       coalesce((select pg_has_role(l.oid, n.nspowner, case
                            when current_setting('server_version_num')::integer >= 160000 then 'SET' else 'MEMBER' end)
                 from pg_namespace as n where n.nspname = 'iu_gates'), false) as is_operator,
       coalesce((select has_table_privilege(c.oid, 'select') and has_schema_privilege(n.oid, 'usage')
                 from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
                 where n.nspname = 'iu_gates' and c.relname = 'ledger'), false) as may_read,
       pg_has_role(l.oid, 'pg_signal_backend', 'usage') as may_signal
from pg_roles as l
where l.rolname = session_user
