select
    format('%s.%I', r.ident, g.tgname) as identity,
    jsonb_build_object(
        'definition', pg_get_triggerdef(g.oid),
        'enabled', g.tgenabled,
        'cloned from parent', g.tgparentid <> 0
    ) as attributes
from pg_trigger g
join relation r on r.oid = g.tgrelid
where not g.tgisinternal
