-- Raises before anything is made if the host's names are not these: a trigger that names a column
-- that is not there would fail every INSERT of the host.
select u.:"iu_unit_column"::text, u.:"iu_version_column" > 1
from :"iu_host_schema".:"iu_unit_table" as u
limit 0;
