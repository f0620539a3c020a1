select
    r.ident as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(r.relowner),
        'materialized', r.relkind = 'm',
        'definition', pg_get_viewdef(r.oid),
        'populated', r.relispopulated,
        'access method', (select a.amname from pg_am a where a.oid = r.relam),
        'tablespace', (select s.spcname from pg_tablespace s where s.oid = r.reltablespace),
        'options', (select jsonb_agg(o order by o) from unnest(r.reloptions) o)
    ) as attributes
from relation r
where r.relkind in ('v', 'm')
