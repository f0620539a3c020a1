select
    format('%s %s for %s', s.objtype, s.objname, s.provider) as identity,
    jsonb_build_object('label', s.label) as attributes
from pg_seclabels s
where
    s.objtype not in ('role', 'tablespace', 'database', 'subscription')
    and (s.objnamespace is null or s.objnamespace in (select n.oid from kept n))
