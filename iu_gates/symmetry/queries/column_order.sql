-- Without numbers: a dropped column leaves a hole in attnum that nobody sees.
select
    r.ident as identity,
    jsonb_build_object('order', jsonb_agg(a.attname order by a.attnum)) as attributes
from relation r
join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
where r.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
group by r.ident
