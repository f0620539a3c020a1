insert into iu_runtime_gate (gate_name, gate_value) values ('iu_core.route_worker_enabled', 'false')
on conflict (gate_name) do nothing;

insert into iu_outbound_route (route_name, event_type, target_kind, target_ref, enabled, dry_run)
values ('iu.version_applied.workflow', 'iu.version_applied', 'workflow', :'iu_outbox_table', true, true)
on conflict (route_name) do nothing;

select set_config('iu_gates.switch_by', 'function', true);

update iu_outbound_route set enabled = true where route_name = 'iu.version_applied.workflow' and not enabled;

-- The outbox may have got another name while nothing was captured. A route whose target is the outbox
-- goes with it, as no other can be delivered to; what was approved of the old one is void.
update iu_outbound_route set target_ref = :'iu_outbox_table'
where target_kind = 'workflow' and target_ref <> :'iu_outbox_table';

-- It begins with the first event, as does a further route whose cursor went with its history:
-- nothing is visible in this snapshot.
insert into iu_route_cursor (route_name, kind, cluster_id, old_stamp, old_snapshot, old_xid, old_seq)
select r.route_name, 'delivery', s.system_identifier, 0, '3:3:'::pg_snapshot, '3'::xid8, 0
from iu_outbound_route as r
cross join pg_control_system() as s
where not exists (select from iu_route_cursor as c where c.route_name = r.route_name);
