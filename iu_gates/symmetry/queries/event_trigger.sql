select
    quote_ident(e.evtname) as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(e.evtowner),
        'event', e.evtevent,
        'enabled', e.evtenabled,
        'function', e.evtfoid::regprocedure::text,
        'tags', (select jsonb_agg(o order by o) from unnest(e.evttags) o)
    ) as attributes
from pg_event_trigger e
where not exists (
    select from member m
    where m.classid = 'pg_event_trigger'::regclass and m.objid = e.oid
)
