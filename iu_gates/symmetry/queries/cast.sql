select
    format('%s as %s', format_type(c.castsource, null), format_type(c.casttarget, null)) as identity,
    jsonb_build_object(
        'function', c.castfunc::regprocedure::text,
        'context', c.castcontext,
        'method', c.castmethod
    ) as attributes
from pg_cast c
where
    c.oid >= 16384
    and not exists (
        select from member m
        where m.classid = 'pg_cast'::regclass and m.objid = c.oid
    )
    and not exists (
        select from pg_type t
        join pg_namespace n on n.oid = t.typnamespace
        where
            t.oid in (c.castsource, c.casttarget)
            and current_setting('iu_gates.left_out')::jsonb ? n.nspname
    )
