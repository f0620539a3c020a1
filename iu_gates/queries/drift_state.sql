select t.content
from iu_gates.fn_kept_catalog('fingerprint') as lanes
cross join iu_gates.fn_kept_catalog('control') as control
join iu_gates.catalog_text as t
    on t.sha256 = coalesce(lanes ->> %(object)s::text, control ->> %(object)s::text)
