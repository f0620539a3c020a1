-- What CREATE DATABASE … TEMPLATE leaves behind of a database, as statements for its copy.
with origin as (
    select d.*, quote_ident(%(copy)s) as copy
    from pg_database d
    where d.datname = %(origin)s
),

setting as (
    select
        case
            when s.setrole = 0 then format('alter database %%s', o.copy)
            else format('alter role %%I in database %%s', pg_get_userbyid(s.setrole), o.copy)
        end as alter,
        split_part(c, '=', 1) as name,
        substr(c, strpos(c, '=') + 1) as value
    from origin o
    join pg_db_role_setting s on s.setdatabase = o.oid
    cross join unnest(s.setconfig) c
)

select
    format(
        '%%s set %%s to %%s', s.alter, s.name,
        -- These are kept as a list that is quoted already.
        case
            when s.name in ('search_path', 'temp_tablespaces', 'local_preload_libraries',
                'session_preload_libraries') and s.value <> '' then s.value
            else quote_literal(s.value)
        end
    ) as statement
from setting s
union all
select format('alter database %%s connection limit %%s', o.copy, o.datconnlimit)
from origin o
where o.datconnlimit <> -1
union all
select format('alter database %%s is_template true', o.copy)
from origin o
where o.datistemplate
union all
select format('comment on database %%s is %%L', o.copy, shobj_description(o.oid, 'pg_database'))
from origin o
where shobj_description(o.oid, 'pg_database') is not null
union all
select statement
from (
    select
        1 as step,
        format('revoke all on database %%s from public, %%I', o.copy, pg_get_userbyid(o.datdba))
            as statement
    from origin o
    where o.datacl is not null
    union all
    select
        2,
        format('grant %%s on database %%s to %%s%%s', a.privilege_type, o.copy,
            case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
            case when a.is_grantable then ' with grant option' else '' end)
    from origin o
    cross join aclexplode(o.datacl) a
    union all
    select 3, format('alter database %%s owner to %%I', o.copy, pg_get_userbyid(o.datdba))
    from origin o
    where pg_get_userbyid(o.datdba) <> current_user
    order by step
) as rights
