select
    quote_ident(s.srvname) as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(s.srvowner),
        'wrapper', w.fdwname,
        'type', s.srvtype,
        'version', s.srvversion,
        'options', (select jsonb_agg(o order by o) from unnest(s.srvoptions) o)
    ) as attributes
from pg_foreign_server s
join pg_foreign_data_wrapper w on w.oid = s.srvfdw
where not exists (
    select from member m
    where m.classid = 'pg_foreign_server'::regclass and m.objid = s.oid
)
