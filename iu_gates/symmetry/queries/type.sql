-- Enumerations, composites, ranges and base types; not those that come with a table or a type.
select
    t.oid::regtype::text as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(t.typowner),
        'kind', t.typtype,
        'defined', t.typisdefined,
        'labels', (
            select jsonb_agg(e.enumlabel order by e.enumsortorder)
            from pg_enum e
            where e.enumtypid = t.oid
        ),
        'range', (
            select jsonb_build_array(
                format_type(g.rngsubtype, null),
                format_type(g.rngmultitypid, null),
                nullif(g.rngcollation, 0)::regcollation::text,
                (
                    select format('%s.%I', c.opcnamespace::regnamespace, c.opcname)
                    from pg_opclass c
                    where c.oid = g.rngsubopc
                ),
                g.rngcanonical::text,
                g.rngsubdiff::text
            )
            from pg_range g
            where g.rngtypid = t.oid
        ),
        'base', case
            when t.typtype = 'b' then jsonb_build_array(
                t.typinput::text, t.typoutput::text, t.typreceive::text, t.typsend::text,
                t.typmodin::text, t.typmodout::text, t.typanalyze::text, t.typsubscript::text,
                t.typlen, t.typbyval, t.typalign, t.typstorage, t.typcategory, t.typispreferred,
                t.typdelim, t.typdefault, nullif(t.typcollation, 0)::regcollation::text,
                format_type(nullif(t.typelem, 0), null)
            )
        end
    ) as attributes
from pg_type t
join kept n on n.oid = t.typnamespace
left join pg_class c on c.oid = t.typrelid
where
    t.typtype in ('b', 'c', 'e', 'p', 'r')
    and (c.oid is null or c.relkind = 'c')
    and not exists (
        select from pg_type e
        where e.typarray = t.oid
    )
    and not exists (
        select from member m
        where m.classid = 'pg_type'::regclass and m.objid = t.oid
    )
