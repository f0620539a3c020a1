select
    format('%s.%I using %I', n.ident, f.opfname, a.amname) as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(f.opfowner),
        'operators', (
            select jsonb_agg(format('%s %s %s %s', o.amopstrategy, o.amopopr::regoperator,
                o.amoppurpose, (
                    select format('%s.%I', s.opfnamespace::regnamespace, s.opfname)
                    from pg_opfamily s
                    where s.oid = o.amopsortfamily
                ))
                order by o.amopstrategy, o.amopopr::regoperator::text)
            from pg_amop o
            where o.amopfamily = f.oid
        ),
        'functions', (
            select jsonb_agg(format('%s (%s, %s) %s', p.amprocnum,
                format_type(p.amproclefttype, null), format_type(p.amprocrighttype, null),
                p.amproc::regprocedure)
                order by p.amprocnum, p.amproc::regprocedure::text,
                format_type(p.amproclefttype, null), format_type(p.amprocrighttype, null))
            from pg_amproc p
            where p.amprocfamily = f.oid
        )
    ) as attributes
from pg_opfamily f
join kept n on n.oid = f.opfnamespace
join pg_am a on a.oid = f.opfmethod
where not exists (
    select from member m
    where m.classid = 'pg_opfamily'::regclass and m.objid = f.oid
)
