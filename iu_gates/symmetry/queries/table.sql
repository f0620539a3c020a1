select
    r.ident as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(r.relowner),
        'partition key', pg_get_partkeydef(r.oid),
        'partition bound', pg_get_expr(r.relpartbound, r.oid),
        'inherits', (
            select jsonb_agg(i.inhparent::regclass::text order by i.inhseqno)
            from pg_inherits i
            where i.inhrelid = r.oid
        ),
        'detach pending', exists (
            select from pg_inherits i
            where i.inhrelid = r.oid and i.inhdetachpending
        ),
        'of type', nullif(r.reloftype, 0)::regtype::text,
        'persistence', r.relpersistence,
        'access method', (select a.amname from pg_am a where a.oid = r.relam),
        'tablespace', (select s.spcname from pg_tablespace s where s.oid = r.reltablespace),
        'replica identity', r.relreplident,
        'row security', r.relrowsecurity,
        'row security forced', r.relforcerowsecurity,
        'options', (select jsonb_agg(o order by o) from unnest(r.reloptions) o),
        'toast options', (
            select jsonb_agg(o order by o)
            from pg_class t, unnest(t.reloptions) o
            where t.oid = r.reltoastrelid
        )
    ) as attributes
from relation r
where r.relkind in ('r', 'p')
