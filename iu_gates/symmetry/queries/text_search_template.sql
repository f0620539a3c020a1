select
    format('%s.%I', n.ident, t.tmplname) as identity,
    jsonb_build_object('init', t.tmplinit::text, 'lexize', t.tmpllexize::text) as attributes
from pg_ts_template t
join kept n on n.oid = t.tmplnamespace
where not exists (
    select from member m
    where m.classid = 'pg_ts_template'::regclass and m.objid = t.oid
)
