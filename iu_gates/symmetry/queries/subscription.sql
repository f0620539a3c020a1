-- Columns that anyone may read and that 15 has; the connection can hold a password.
select
    quote_ident(s.subname) as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(s.subowner),
        'enabled', s.subenabled,
        'binary', s.subbinary,
        'streaming', left(s.substream::text, 1),
        'two phase', s.subtwophasestate,
        'disable on error', s.subdisableonerr,
        'slot', s.subslotname,
        'synchronous commit', s.subsynccommit,
        'publications', to_jsonb(s.subpublications)
    ) as attributes
from pg_subscription s
where s.subdbid = (select d.oid from pg_database d where d.datname = current_database())
