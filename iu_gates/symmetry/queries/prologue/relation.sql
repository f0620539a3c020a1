-- Everything in pg_class that is looked at.
select p.*
from place p
where not exists (
    select from member m
    where m.classid = 'pg_class'::regclass and m.objid = p.oid
)
