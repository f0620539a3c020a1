-- Of tables and domains. NOT NULL is an attribute of the column or domain, a constraint trigger is
-- a trigger; a foreign key's rows for the partitions it points to are PostgreSQL's own.
select
    format('%s.%I', coalesce(r.ident, c.contypid::regtype::text), c.conname) as identity,
    jsonb_build_object(
        'on domain', c.contypid <> 0,
        'definition', pg_get_constraintdef(c.oid),
        'validated', c.convalidated,
        'enforced', coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true),
        'deferrable', c.condeferrable,
        'deferred', c.condeferred,
        'no inherit', c.connoinherit,
        'local', c.conislocal,
        'parents', c.coninhcount,
        -- Of its own triggers, those that do not fire as usual.
        'trigger states', (
            select jsonb_agg(distinct format('%s: %s', g.tgrelid::regclass, g.tgenabled))
            from pg_trigger g
            where g.tgconstraint = c.oid and g.tgenabled <> 'O'
        )
    ) as attributes
from pg_constraint c
left join relation r on r.oid = c.conrelid
left join pg_type t on t.oid = c.contypid
left join kept n on n.oid = t.typnamespace
where
    c.contype not in ('n', 't')
    and coalesce(r.oid, n.oid) is not null
    and not exists (
        select from member m
        where m.classid = 'pg_type'::regclass and m.objid = t.oid
    )
    and not exists (
        select from pg_constraint p
        where p.oid = c.conparentid and p.conrelid = c.conrelid
    )
