select
    t.oid::regtype::text as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(t.typowner),
        'type', format_type(t.typbasetype, t.typtypmod),
        'not null', t.typnotnull,
        'default', coalesce(pg_get_expr(t.typdefaultbin, 0), t.typdefault),
        'collation', nullif(t.typcollation, 0)::regcollation::text
    ) as attributes
from pg_type t
join kept n on n.oid = t.typnamespace
where
    t.typtype = 'd'
    and not exists (
        select from member m
        where m.classid = 'pg_type'::regclass and m.objid = t.oid
    )
