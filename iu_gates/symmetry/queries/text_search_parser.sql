select
    format('%s.%I', n.ident, p.prsname) as identity,
    jsonb_build_object(
        'start', p.prsstart::text,
        'token', p.prstoken::text,
        'end', p.prsend::text,
        'headline', p.prsheadline::text,
        'token types', p.prslextype::text
    ) as attributes
from pg_ts_parser p
join kept n on n.oid = p.prsnamespace
where not exists (
    select from member m
    where m.classid = 'pg_ts_parser'::regclass and m.objid = p.oid
)
