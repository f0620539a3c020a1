select
    format('%s %s for %s', s.objtype, s.objname, s.provider) as identity,
    jsonb_build_object('label', s.label) as attributes
from pg_seclabels s
where
    s.objtype not in ('role', 'tablespace', 'database', 'subscription', 'large object')
    and (s.objnamespace is null or s.objnamespace in (select n.oid from kept n))
union all
select
    coalesce('subscription ' || quote_ident(c.subname), 'this database') || format(' for %s', s.provider),
    jsonb_build_object('label', s.label)
from pg_database d
cross join pg_shseclabel s
left join pg_subscription c
    on s.classoid = 'pg_subscription'::regclass and c.oid = s.objoid and c.subdbid = d.oid
where
    d.datname = current_database()
    and (c.oid is not null or (s.classoid = 'pg_database'::regclass and s.objoid = d.oid))
