-- What an extension brought (the extension itself, with its version, stands for it), and the
-- constructors of a range, which come and go with its type.
select d.classid, d.objid
from pg_depend d
where d.deptype = 'e' or (d.deptype = 'i' and d.classid = 'pg_proc'::regclass)
