select
    format('%s.%I using %I', n.ident, c.opcname, a.amname) as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(c.opcowner),
        'type', format_type(c.opcintype, null),
        'storage', format_type(nullif(c.opckeytype, 0), null),
        'default', c.opcdefault,
        'family', format('%s.%I', f.opfnamespace::regnamespace, f.opfname)
    ) as attributes
from pg_opclass c
join kept n on n.oid = c.opcnamespace
join pg_am a on a.oid = c.opcmethod
join pg_opfamily f on f.oid = c.opcfamily
where not exists (
    select from member m
    where m.classid = 'pg_opclass'::regclass and m.objid = c.oid
)
