select
    r.ident as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(r.relowner),
        'type', format_type(s.seqtypid, null),
        'start', s.seqstart,
        'increment', s.seqincrement,
        'minimum', s.seqmin,
        'maximum', s.seqmax,
        'cache', s.seqcache,
        'cycle', s.seqcycle,
        'persistence', r.relpersistence,
        'owned by', (
            select format('%s.%I', a.attrelid::regclass, a.attname)
            from pg_depend d
            join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
            where
                d.classid = 'pg_class'::regclass
                and d.objid = r.oid
                and d.refclassid = 'pg_class'::regclass
                and d.refobjsubid > 0
                and d.deptype in ('a', 'i')
        )
    ) as attributes
from pg_sequence s
join relation r on r.oid = s.seqrelid
