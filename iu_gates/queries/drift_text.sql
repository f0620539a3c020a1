select t.content
from iu_gates.catalog_text as t
where t.sha256 = %(sha256)s and t.sha256 = encode(sha256(convert_to(t.content, 'UTF8')), 'hex')
