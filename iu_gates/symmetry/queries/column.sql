-- Columns of tables, views and foreign tables, and fields of composite types. From 18 on NOT NULL
-- is a constraint too; its name is left out, what it says is an attribute here.
select
    format('%s.%I', r.ident, a.attname) as identity,
    jsonb_build_object(
        'of type', r.relkind = 'c',
        'type', format_type(a.atttypid, a.atttypmod),
        'collation', case
            when a.attcollation <> t.typcollation then a.attcollation::regcollation::text
        end,
        'not null', case
            when not a.attnotnull then 'no'
            when not n.convalidated then 'not valid'
            when n.connoinherit then 'no inherit'
            when n.conislocal and n.coninhcount > 0 then 'local'
            else 'yes'
        end,
        'default', pg_get_expr(d.adbin, d.adrelid),
        'identity', a.attidentity,
        'generated', a.attgenerated,
        'storage', a.attstorage,
        'compression', a.attcompression,
        'statistics target', nullif(a.attstattarget, -1),
        'options', (select jsonb_agg(o order by o) from unnest(a.attoptions) o),
        'foreign options', (select jsonb_agg(o order by o) from unnest(a.attfdwoptions) o),
        'local', a.attislocal,
        'parents', a.attinhcount
    ) as attributes
from relation r
join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
join pg_type t on t.oid = a.atttypid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
left join pg_constraint n on n.conrelid = r.oid and n.contype = 'n' and n.conkey[1] = a.attnum
where r.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
