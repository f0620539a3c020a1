-- Columns that anyone may read; the connection can hold a password, so that the start of a digest
-- shows a change to those who may see it, and nothing else. What an older PostgreSQL does not have
-- is found in "older"; ts_stat runs its query only where the right to the column is there.
select
    quote_ident(s.subname) as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(s.subowner),
        'connection', case
            when has_column_privilege('pg_subscription', 'subconninfo', 'select') then
                (select left(c.word, 8) from ts_stat(format(
                    'select array_to_tsvector(array[md5(subconninfo)]) from pg_subscription'
                    ' where oid = %s', s.oid
                )) c)
        end,
        'enabled', s.subenabled,
        'binary', s.subbinary,
        'streaming', left(s.substream::text, 1),
        'two phase', s.subtwophasestate <> 'd',
        'disable on error', s.subdisableonerr,
        'slot', s.subslotname,
        'synchronous commit', s.subsynccommit,
        'skipped', nullif(s.subskiplsn, '0/0'),
        'publications', (select jsonb_agg(p order by p) from unnest(s.subpublications) p),
        'origin', (select suborigin from pg_subscription x where x.oid = s.oid),
        'password required', (select subpasswordrequired from pg_subscription x where x.oid = s.oid),
        'run as owner', (select subrunasowner from pg_subscription x where x.oid = s.oid),
        'failover', (select subfailover from pg_subscription x where x.oid = s.oid)
    ) as attributes
from pg_subscription s
cross join (
    select
        'any' as suborigin,
        true as subpasswordrequired,
        false as subrunasowner,
        false as subfailover
) as older
where s.subdbid = (select d.oid from pg_database d where d.datname = current_database())
