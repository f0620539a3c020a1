select
    quote_ident(a.amname) as identity,
    jsonb_build_object('handler', a.amhandler::text, 'type', a.amtype) as attributes
from pg_am a
where
    a.oid >= 16384
    and not exists (
        select from member m
        where m.classid = 'pg_am'::regclass and m.objid = a.oid
    )
