select
    c.oid::regcollation::text as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(c.collowner),
        'provider', c.collprovider,
        'deterministic', c.collisdeterministic,
        'encoding', c.collencoding,
        'collate', c.collcollate,
        'ctype', c.collctype,
        'locale', coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale'),
        'rules', to_jsonb(c) ->> 'collicurules'
    ) as attributes
from pg_collation c
join kept n on n.oid = c.collnamespace
where not exists (
    select from member m
    where m.classid = 'pg_collation'::regclass and m.objid = c.oid
)
