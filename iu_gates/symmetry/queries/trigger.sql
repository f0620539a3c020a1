select
    format('%s.%I', r.ident, g.tgname) as identity,
    jsonb_build_object(
        'definition', pg_get_triggerdef(g.oid),
        'enabled', g.tgenabled,
        'cloned from parent', g.tgparentid <> 0,
        'depends on extension', (
            select jsonb_agg(e.extname order by e.extname)
            from pg_depend x
            join pg_extension e on e.oid = x.refobjid
            where
                x.classid = 'pg_trigger'::regclass
                and x.objid = g.oid
                and x.refclassid = 'pg_extension'::regclass
                and x.deptype = 'x'
        )
    ) as attributes
from pg_trigger g
join place r on r.oid = g.tgrelid
where not g.tgisinternal
