select
    quote_ident(l.lanname) as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(l.lanowner),
        'trusted', l.lanpltrusted,
        'handler', l.lanplcallfoid::regprocedure::text,
        'inline', l.laninline::regprocedure::text,
        'validator', l.lanvalidator::regprocedure::text
    ) as attributes
from pg_language l
where
    l.lanispl
    and not exists (
        select from member m
        where m.classid = 'pg_language'::regclass and m.objid = l.oid
    )
