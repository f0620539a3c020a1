select
    format('%s.%I', n.ident, s.stxname) as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(s.stxowner),
        'definition', pg_get_statisticsobjdef(s.oid),
        'target', nullif(s.stxstattarget, -1)
    ) as attributes
from pg_statistic_ext s
join kept n on n.oid = s.stxnamespace
where not exists (
    select from member m
    where m.classid = 'pg_statistic_ext'::regclass and m.objid = s.oid
)
