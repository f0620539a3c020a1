select i.iu_schema, i.host, i.site_key_sha256, i.installed_at,
       i.system_identifier = s.system_identifier
       and i.database_oid = (select d.oid from pg_database as d where d.datname = current_database()) as same_database
from iu_gates.installation as i
cross join pg_control_system() as s
