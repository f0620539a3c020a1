select
    format('%s.%I', r.ident, w.rulename) as identity,
    jsonb_build_object(
        'definition', pg_get_ruledef(w.oid),
        'enabled', w.ev_enabled
    ) as attributes
from pg_rewrite w
join place r on r.oid = w.ev_class
where w.rulename <> '_RETURN'
