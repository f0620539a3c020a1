-- What of the server, and of this login on it, a revision's outcome may depend on.
select jsonb_build_object(
    'version', version(),
    'login', (select to_jsonb(r) - 'oid' - 'rolpassword' from pg_roles r where r.rolname = current_user),
    'roles', (select jsonb_agg(r.rolname order by r.rolname) from pg_roles r),
    'settings', (
        select jsonb_object_agg(s.name, s.setting)
        from pg_settings s
        where
            s.context in ('user', 'superuser')
            and s.source not in ('default', 'client', 'session')
    ),
    'extensions', (
        select jsonb_object_agg(e.name, e.default_version) from pg_available_extensions e
    ),
    'locale', (
        select to_jsonb(d) - 'oid' - 'datdba' - 'datfrozenxid' - 'datminmxid' - 'datacl' - 'dattablespace'
        from pg_database d where d.datname = 'template0'
    )
)
