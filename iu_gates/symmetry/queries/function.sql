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
        'settings', (select jsonb_agg(o order by o) from unnest(p.proconfig) o),
        'transforms', (
            select jsonb_agg(format_type(y, null) order by format_type(y, null))
            from unnest(p.protrftypes) y
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
