-- The name is left out: a copy has another.
select
    'this database' as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(d.datdba),
        'connection limit', d.datconnlimit,
        'template', d.datistemplate,
        'comment', shobj_description(d.oid, 'pg_database')
    ) as attributes
from pg_database d
where d.datname = current_database()
