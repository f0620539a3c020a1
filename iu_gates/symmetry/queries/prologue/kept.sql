-- The schemas that are looked at: not PostgreSQL's own, not those left out by the caller.
select n.oid, n.nspname, n.nspowner, n.nspacl, quote_ident(n.nspname) as ident
from pg_namespace n
where
    n.nspname !~ '^pg_'
    and n.nspname <> 'information_schema'
    and not current_setting('iu_gates.left_out')::jsonb ? n.nspname
