-- The comment of an extension's member is the extension's affair. 15 names a transform otherwise.
select
    format('%s %s', i.type, case
        when i.type = 'transform' then replace(i.identity, ' on language ', ' language ')
        else i.identity
    end) as identity,
    jsonb_build_object('text', d.description) as attributes
from pg_description d
cross join pg_identify_object(d.classoid, d.objoid, d.objsubid) i
left join pg_constraint c on d.classoid = 'pg_constraint'::regclass and c.oid = d.objoid
left join pg_trigger g on d.classoid = 'pg_trigger'::regclass and g.oid = d.objoid
left join pg_rewrite w on d.classoid = 'pg_rewrite'::regclass and w.oid = d.objoid
left join pg_policy p on d.classoid = 'pg_policy'::regclass and p.oid = d.objoid
left join pg_class t on t.oid = coalesce(g.tgrelid, w.ev_class, p.polrelid)
where
    (d.objoid >= 16384 or d.classoid in ('pg_namespace'::regclass, 'pg_extension'::regclass))
    and d.classoid <> 'pg_largeobject'::regclass
    and coalesce(
        coalesce(c.connamespace, t.relnamespace) in (select n.oid from kept n),
        coalesce(i.schema, case when i.type = 'schema' then i.identity end)
        in (select n.ident from kept n),
        true
    )
    and not exists (
        select from member m
        where m.classid = d.classoid and m.objid = d.objoid
    )
