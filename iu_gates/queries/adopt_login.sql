-- Who may compare: the owner of the control schema, if that is a login, else the database's.
select coalesce(
    (select r.rolname::text from pg_namespace as n join pg_roles as r on r.oid = n.nspowner
     where n.nspname = 'iu_gates' and r.rolcanlogin),
    (select pg_get_userbyid(d.datdba)::text from pg_database as d where d.datname = current_database())
) as login
