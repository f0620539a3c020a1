select
    quote_ident(p.pubname) as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(p.pubowner),
        'all tables', p.puballtables,
        'insert', p.pubinsert,
        'update', p.pubupdate,
        'delete', p.pubdelete,
        'truncate', p.pubtruncate,
        'via root', p.pubviaroot,
        'generated columns', coalesce(to_jsonb(p) ->> 'pubgencols', 'n'),
        'schemas', (
            select jsonb_agg(n.nspname order by n.nspname)
            from pg_publication_namespace s
            join kept n on n.oid = s.pnnspid
            where s.pnpubid = p.oid
        ),
        'tables', (
            select jsonb_object_agg(r.ident, jsonb_build_object(
                'where', pg_get_expr(t.prqual, t.prrelid),
                'columns', (
                    select jsonb_agg(a.attname order by a.attname)
                    from pg_attribute a
                    where a.attrelid = r.oid and a.attnum = any(t.prattrs)
                )
            ))
            from pg_publication_rel t
            join place r on r.oid = t.prrelid
            where t.prpubid = p.oid
        )
    ) as attributes
from pg_publication p
