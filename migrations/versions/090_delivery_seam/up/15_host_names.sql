-- Raises here, rather than at the first delivery, if the outbox's names are not these.
select o.:"iu_key_column", o.:"iu_payload_column"
from :"iu_host_schema".:"iu_outbox_table" as o
limit 0;

select format('%I.%I', :'iu_host_schema', :'iu_key_index')::regclass;
