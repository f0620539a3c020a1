-- Everything in pg_class, what extensions brought too: others hang triggers and policies on it.
select c.*, format('%s.%I', n.ident, c.relname) as ident
from pg_class c
join kept n on n.oid = c.relnamespace
