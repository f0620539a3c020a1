-- What the scratch database must have of the database that the archive is of.
select pg_encoding_to_char(d.encoding) as encoding,
       d.datlocprovider::text as provider,
       d.datcollate as lc_collate,
       d.datctype as lc_ctype,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') as locale,
       to_jsonb(d) ->> 'daticurules' as icu_rules,
       pg_database_size(d.oid) as size_bytes,
       (select pg_get_userbyid(n.nspowner)::text from pg_namespace as n where n.nspname = 'iu_gates') as owner
from pg_database as d
where d.datname = current_database()
