select k.conname as name, k.convalidated as validated
from pg_constraint as k
where k.conrelid = to_regclass(':"iu_schema".iu_outbound_route') and k.contype in ('c', 'f')
