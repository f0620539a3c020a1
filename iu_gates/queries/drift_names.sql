select i.iu_schema, i.host ->> 'schema' as host_schema from iu_gates.installation as i
