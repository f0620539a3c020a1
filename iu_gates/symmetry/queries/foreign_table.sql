select
    r.ident as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(r.relowner),
        'server', s.srvname,
        'options', (select jsonb_agg(o order by o) from unnest(f.ftoptions) o),
        'partition bound', pg_get_expr(r.relpartbound, r.oid),
        'inherits', (
            select jsonb_agg(i.inhparent::regclass::text order by i.inhseqno)
            from pg_inherits i
            where i.inhrelid = r.oid
        ),
        'detach pending', exists (
            select from pg_inherits i
            where i.inhrelid = r.oid and i.inhdetachpending
        )
    ) as attributes
from relation r
join pg_foreign_table f on f.ftrelid = r.oid
join pg_foreign_server s on s.oid = f.ftserver
