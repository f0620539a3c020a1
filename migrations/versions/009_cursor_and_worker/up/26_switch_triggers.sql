create trigger iu_runtime_gate_barrier
before update or delete on iu_runtime_gate
for each statement execute function fn_iu_switch_barrier();

create trigger iu_outbound_route_barrier
before update of enabled, dry_run, quota, event_type, event_filter, target_kind, target_ref on iu_outbound_route
for each statement execute function fn_iu_switch_barrier();
