select
    format('%I.%I', n.nspname, c.relname) as identity,
    n.nspname as schema,
    c.relname as name,
    array(
        select a.attname::text
        from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        order by a.attname collate "C"
    ) as columns,
    -- A heap without a block holds no row: that need not be read.
    pg_relation_size(c.oid) = 0
    and c.relam = (select m.oid from pg_am m where m.amname = 'heap') as is_empty
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where
    c.relkind in ('r', 'm')
    and c.relispopulated
    and n.nspname !~ '^pg_'
    and n.nspname <> 'information_schema'
    and not current_setting('iu_gates.left_out')::jsonb ? n.nspname
order by identity
