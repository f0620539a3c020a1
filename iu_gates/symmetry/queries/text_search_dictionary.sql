select
    d.oid::regdictionary::text as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(d.dictowner),
        'template', format('%s.%I', t.tmplnamespace::regnamespace, t.tmplname),
        'options', d.dictinitoption
    ) as attributes
from pg_ts_dict d
join kept n on n.oid = d.dictnamespace
join pg_ts_template t on t.oid = d.dicttemplate
where not exists (
    select from member m
    where m.classid = 'pg_ts_dict'::regclass and m.objid = d.oid
)
