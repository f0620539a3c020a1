select
    format('for %s language %I', format_type(f.trftype, null), l.lanname) as identity,
    jsonb_build_object(
        'from sql', f.trffromsql::regprocedure::text,
        'to sql', f.trftosql::regprocedure::text
    ) as attributes
from pg_transform f
join pg_language l on l.oid = f.trflang
where
    not exists (
        select from member m
        where m.classid = 'pg_transform'::regclass and m.objid = f.oid
    )
    and not exists (
        select from pg_type t
        join pg_namespace n on n.oid = t.typnamespace
        where
            t.oid in (f.trftype)
            and current_setting('iu_gates.left_out')::jsonb ? n.nspname
    )
