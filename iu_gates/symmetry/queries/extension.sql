select
    quote_ident(e.extname) as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(e.extowner),
        'schema', e.extnamespace::regnamespace::text,
        'version', e.extversion,
        -- ALTER EXTENSION … ADD hides an object from all other kinds.
        'members', (
            select count(*)
            from pg_depend d
            where
                d.refclassid = 'pg_extension'::regclass
                and d.refobjid = e.oid
                and d.deptype = 'e'
        )
    ) as attributes
from pg_extension e
