select
    c.oid::regconfig::text as identity,
    jsonb_build_object(
        'owner', pg_get_userbyid(c.cfgowner),
        'parser', format('%s.%I', p.prsnamespace::regnamespace, p.prsname),
        'mapping', (
            select jsonb_agg(jsonb_build_array(t.alias, m.mapdict::regdictionary::text)
                order by m.maptokentype, m.mapseqno)
            from pg_ts_config_map m
            join ts_token_type(c.cfgparser) t on t.tokid = m.maptokentype
            where m.mapcfg = c.oid
        )
    ) as attributes
from pg_ts_config c
join kept n on n.oid = c.cfgnamespace
join pg_ts_parser p on p.oid = c.cfgparser
where not exists (
    select from member m
    where m.classid = 'pg_ts_config'::regclass and m.objid = c.oid
)
