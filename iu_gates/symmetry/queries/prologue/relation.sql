-- Everything in pg_class that is looked at.
select c.*, format('%s.%I', n.ident, c.relname) as ident
from pg_class c
join kept n on n.oid = c.relnamespace
where not exists (
    select from member m
    where m.classid = 'pg_class'::regclass and m.objid = c.oid
)
