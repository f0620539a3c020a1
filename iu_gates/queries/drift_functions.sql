-- Without the functions that are looked at.
select p.proname::text as name, 'function ' || p.oid::regprocedure::text as object, p.prosrc as body,
       pg_get_functiondef(p.oid) as definition,
       encode(sha256(convert_to(pg_get_functiondef(p.oid), 'UTF8')), 'hex') as sha256
from pg_proc as p
join pg_namespace as n on n.oid = p.pronamespace
where n.nspname = 'iu_gates' and %(names)s::name[] @> array[p.proname]
