-- Our objects, each with the hash of its definition; owners and privileges are left out, so that
-- a copy which another login has restored compares equal.
select c.object, encode(sha256(convert_to(c.definition, 'UTF8')), 'hex') as hash
from iu_gates.fn_catalog() as c
where c.object !~ ': (owner|(lacking |default )?privilege .*)$'
