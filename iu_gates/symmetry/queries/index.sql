select
    r.ident as identity,
    jsonb_build_object(
        'definition', pg_get_indexdef(r.oid),
        'primary', i.indisprimary,
        'valid', i.indisvalid,
        'ready', i.indisready,
        'immediate', i.indimmediate,
        'clustered', i.indisclustered,
        'replica identity', i.indisreplident,
        'tablespace', (select s.spcname from pg_tablespace s where s.oid = r.reltablespace),
        'parent', (
            select h.inhparent::regclass::text
            from pg_inherits h
            where h.inhrelid = r.oid
        ),
        'statistics targets', (
            select jsonb_object_agg(a.attnum, a.attstattarget)
            from pg_attribute a
            where a.attrelid = r.oid and a.attstattarget >= 0
        ),
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
from pg_index i
join relation r on r.oid = i.indexrelid
