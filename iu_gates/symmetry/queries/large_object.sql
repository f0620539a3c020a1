-- Their names are numbers that are drawn, so that they are counted, by owner.
select
    format('of %I', pg_get_userbyid(l.lomowner)) as identity,
    jsonb_build_object(
        'number', count(*),
        'privileges', jsonb_agg(a.acl order by a.acl) filter (
            where a.acl <> acldefault('L', l.lomowner)::text
        ),
        'comments', jsonb_agg(d.description order by d.description) filter (
            where d.description is not null
        )
    ) as attributes
from pg_largeobject_metadata l
left join pg_description d on d.classoid = 'pg_largeobject'::regclass and d.objoid = l.oid
cross join lateral (
    select array_agg(one order by one::text)::text from unnest(l.lomacl) one
) as a (acl)
group by l.lomowner
