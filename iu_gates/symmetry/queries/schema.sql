select n.ident as identity, jsonb_build_object('owner', pg_get_userbyid(n.nspowner)) as attributes
from kept n
where not exists (
    select from member m
    where m.classid = 'pg_namespace'::regclass and m.objid = n.oid
)
