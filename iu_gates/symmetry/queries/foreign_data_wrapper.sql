select
    quote_ident(w.fdwname) as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(w.fdwowner),
        'handler', w.fdwhandler::regprocedure::text,
        'validator', w.fdwvalidator::regprocedure::text,
        'options', (select jsonb_agg(o order by o) from unnest(w.fdwoptions) o)
    ) as attributes
from pg_foreign_data_wrapper w
where not exists (
    select from member m
    where m.classid = 'pg_foreign_data_wrapper'::regclass and m.objid = w.oid
)
