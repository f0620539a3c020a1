-- Functions, window functions and procedures.
select
    p.oid::regprocedure::text as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(p.proowner),
        'kind', p.prokind,
        'language', l.lanname,
        'arguments', pg_get_function_arguments(p.oid),
        'result', pg_get_function_result(p.oid),
        'body', p.prosrc,
        'sql body', pg_get_function_sqlbody(p.oid),
        'library', p.probin,
        'volatility', p.provolatile,
        'strict', p.proisstrict,
        'security definer', p.prosecdef,
        'leakproof', p.proleakproof,
        'parallel', p.proparallel,
        'cost', p.procost,
        'rows', p.prorows,
        'support', p.prosupport::text,
        -- Kept as it was set: set_config keeps quotes that SET and a restored dump do without.
        'settings', (
            select jsonb_agg(s.setting order by s.setting)
            from unnest(p.proconfig) o
            cross join lateral (
                select case
                    when o like 'search\_path=%' then regexp_replace(o, '"([a-z_][a-z0-9_$]*)"', '\1', 'g')
                    else o
                end
            ) as s (setting)
        ),
        'transforms', (
            select jsonb_agg(format_type(y, null) order by format_type(y, null))
            from unnest(p.protrftypes) y
        ),
        'depends on extension', (
            select jsonb_agg(e.extname order by e.extname)
            from pg_depend x
            join pg_extension e on e.oid = x.refobjid
            where
                x.classid = 'pg_proc'::regclass
                and x.objid = p.oid
                and x.refclassid = 'pg_extension'::regclass
                and x.deptype = 'x'
        )
    ) as attributes
from pg_proc p
join kept n on n.oid = p.pronamespace
join pg_language l on l.oid = p.prolang
where
    p.prokind <> 'a'
    and not exists (
        select from member m
        where m.classid = 'pg_proc'::regclass and m.objid = p.oid
    )
