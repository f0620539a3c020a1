select
    o.oid::regoperator::text as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(o.oprowner),
        'result', format_type(nullif(o.oprresult, 0), null),
        'function', o.oprcode::regprocedure::text,
        'commutator', o.oprcom::regoperator::text,
        'negator', o.oprnegate::regoperator::text,
        'restrict', o.oprrest::text,
        'join', o.oprjoin::text,
        'merges', o.oprcanmerge,
        'hashes', o.oprcanhash
    ) as attributes
from pg_operator o
join kept n on n.oid = o.oprnamespace
where not exists (
    select from member m
    where m.classid = 'pg_operator'::regclass and m.objid = o.oid
)
