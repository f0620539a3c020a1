-- What differs from the owner's and PUBLIC's default, so that NULL is the default and a privilege
-- that only a newer PostgreSQL knows makes no difference; of what initdb or an extension made, what
-- differs from what it gave (of the information schema that is not known).
with given as (
    select
        'pg_class'::regclass as classid,
        c.oid as objid,
        0 as objsubid,
        c.relacl as acl,
        acldefault(case when c.relkind = 'S' then 's' else 'r' end::"char", c.relowner) as usual,
        c.relnamespace as home
    from pg_class c
    where c.relacl is not null
    union all
    select 'pg_class'::regclass, c.oid, a.attnum, a.attacl, acldefault('c', c.relowner), c.relnamespace
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    where a.attacl is not null
    union all
    select 'pg_proc'::regclass, p.oid, 0, p.proacl, acldefault('f', p.proowner), p.pronamespace
    from pg_proc p
    where p.proacl is not null
    union all
    select 'pg_type'::regclass, t.oid, 0, t.typacl, acldefault('T', t.typowner), t.typnamespace
    from pg_type t
    where t.typacl is not null
    union all
    select 'pg_namespace'::regclass, n.oid, 0, n.nspacl, acldefault('n', n.nspowner), n.oid
    from pg_namespace n
    where n.nspacl is not null
),

regiven as materialized (
    select g.classid, g.objid, g.objsubid, g.acl, coalesce(i.initprivs, g.usual) as usual
    from given g
    join pg_namespace n on n.oid = g.home
    left join pg_init_privs i
        on i.classoid = g.classid and i.objoid = g.objid and i.objsubid = g.objsubid
    where
        g.acl is distinct from i.initprivs
        and (
            n.nspname = 'pg_catalog'
            or (
                n.oid in (select k.oid from kept k)
                and exists (
                    select from member m
                    where m.classid = g.classid and m.objid = g.objid
                )
            )
        )
),

object as (
    select
        case g.classid
            when 'pg_class'::regclass then
                case
                    when g.objsubid > 0 then 'column '
                    when c.relkind = 'S' then 'sequence '
                    else 'table '
                end || c.oid::regclass || coalesce('.' || quote_ident(a.attname), '')
            when 'pg_proc'::regclass then 'function ' || g.objid::regprocedure
            when 'pg_type'::regclass then 'type ' || g.objid::regtype
            else 'schema ' || g.objid::regnamespace
        end as identity,
        g.acl,
        g.usual
    from regiven g
    left join pg_class c on g.classid = 'pg_class'::regclass and c.oid = g.objid
    left join pg_attribute a
        on a.attrelid = c.oid and a.attnum = g.objsubid and g.objsubid > 0
    union all
    select 'schema ' || n.ident, n.nspacl, acldefault('n', n.nspowner)
    from kept n
    where not exists (
        select from member m
        where m.classid = 'pg_namespace'::regclass and m.objid = n.oid
    )
    union all
    select
        case when r.relkind = 'S' then 'sequence ' else 'table ' end || r.ident,
        r.relacl,
        acldefault(case when r.relkind = 'S' then 's' else 'r' end::"char", r.relowner)
    from relation r
    where r.relacl is not null
    union all
    select format('column %s.%I', r.ident, a.attname), a.attacl, acldefault('c', r.relowner)
    from relation r
    join pg_attribute a on a.attrelid = r.oid and not a.attisdropped and a.attacl is not null
    union all
    select 'function ' || p.oid::regprocedure, p.proacl, acldefault('f', p.proowner)
    from pg_proc p
    join kept n on n.oid = p.pronamespace
    where p.proacl is not null and not exists (
        select from member m
        where m.classid = 'pg_proc'::regclass and m.objid = p.oid
    )
    union all
    select 'type ' || t.oid::regtype, t.typacl, acldefault('T', t.typowner)
    from pg_type t
    join kept n on n.oid = t.typnamespace
    where t.typacl is not null and not exists (
        select from member m
        where m.classid = 'pg_type'::regclass and m.objid = t.oid
    )
    union all
    select format('language %I', l.lanname), l.lanacl, acldefault('l', l.lanowner)
    from pg_language l
    union all
    select format('foreign data wrapper %I', w.fdwname), w.fdwacl, acldefault('F', w.fdwowner)
    from pg_foreign_data_wrapper w
    union all
    select format('foreign server %I', s.srvname), s.srvacl, acldefault('S', s.srvowner)
    from pg_foreign_server s
    union all
    select 'this database', d.datacl, acldefault('d', d.datdba)
    from pg_database d
    where d.datname = current_database()
    union all
    select
        format('default of %I for %s', pg_get_userbyid(a.defaclrole), a.defaclobjtype)
        || coalesce(' in ' || n.ident, ''),
        a.defaclacl,
        case
            when a.defaclnamespace = 0 then acldefault(
                case when a.defaclobjtype = 'S' then 's' else a.defaclobjtype end, a.defaclrole
            )
            else acldefault('c', a.defaclrole)
        end
    from pg_default_acl a
    left join kept n on n.oid = a.defaclnamespace
    where a.defaclnamespace = 0 or n.oid is not null
),

entry as (
    select o.identity, 'granted to' as verb, e.*
    from object o
    cross join aclexplode(o.acl) e
    where to_jsonb(e) not in (select to_jsonb(u) from aclexplode(o.usual) u)
    union all
    select o.identity, 'revoked from' as verb, e.*
    from object o
    cross join aclexplode(o.usual) e
    where o.acl is not null and to_jsonb(e) not in (select to_jsonb(u) from aclexplode(o.acl) u)
),

holder as (
    select
        e.identity,
        format('%s %s', e.verb,
            case when e.grantee = 0 then 'public' else pg_get_userbyid(e.grantee)::text end) as name,
        jsonb_agg(
            format('%s%s by %s', e.privilege_type,
                case when e.is_grantable then ' with grant option' end,
                pg_get_userbyid(e.grantor))
            order by e.privilege_type, e.is_grantable, pg_get_userbyid(e.grantor)
        ) as privileges
    from entry e
    group by 1, 2
)

select h.identity, jsonb_object_agg(h.name, h.privileges) as attributes
from holder h
group by h.identity
