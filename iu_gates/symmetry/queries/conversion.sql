select
    format('%s.%I', n.ident, c.conname) as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(c.conowner),
        'from', pg_encoding_to_char(c.conforencoding),
        'to', pg_encoding_to_char(c.contoencoding),
        'function', c.conproc::text,
        'default', c.condefault
    ) as attributes
from pg_conversion c
join kept n on n.oid = c.connamespace
where not exists (
    select from member m
    where m.classid = 'pg_conversion'::regclass and m.objid = c.oid
)
