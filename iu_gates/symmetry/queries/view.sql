select
    r.ident as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(r.relowner),
        'materialized', r.relkind = 'm',
        'definition', pg_get_viewdef(r.oid),
        'populated', r.relispopulated,
        'access method', (select a.amname from pg_am a where a.oid = r.relam),
        'tablespace', (select s.spcname from pg_tablespace s where s.oid = r.reltablespace),
        'options', (select jsonb_agg(o order by o) from unnest(r.reloptions) o),
        'toast options', (
            select jsonb_agg(o order by o)
            from pg_class t, unnest(t.reloptions) o
            where t.oid = r.reltoastrelid
        ),
        'replica identity', r.relreplident,
        'depends on extension', (
            select jsonb_agg(e.extname order by e.extname)
            from pg_depend x
            join pg_extension e on e.oid = x.refobjid
            where
                x.classid = 'pg_class'::regclass
                and x.objid = r.oid
                and x.refclassid = 'pg_extension'::regclass
                and x.deptype = 'x'
        )
    ) as attributes
from relation r
where r.relkind in ('v', 'm')
