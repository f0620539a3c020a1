select
    format('%s.%I', r.ident, p.polname) as identity,
    jsonb_build_object(
        'command', p.polcmd,
        'permissive', p.polpermissive,
        'roles', (
            select jsonb_agg(case when o = 0 then 'public' else pg_get_userbyid(o)::text end
                order by case when o = 0 then 'public' else pg_get_userbyid(o)::text end)
            from unnest(p.polroles) o
        ),
        'using', pg_get_expr(p.polqual, p.polrelid),
        'check', pg_get_expr(p.polwithcheck, p.polrelid)
    ) as attributes
from pg_policy p
join place r on r.oid = p.polrelid
