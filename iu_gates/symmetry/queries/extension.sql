select
    quote_ident(e.extname) as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(e.extowner),
        'schema', e.extnamespace::regnamespace::text,
        'version', e.extversion
    ) as attributes
from pg_extension e
