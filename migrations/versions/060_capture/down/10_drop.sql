-- The trigger goes and the gap is recorded. Rows that history needs stay: a route with
-- attempts keeps its row and its cursor, and is switched off.

select iu_gates.fn_hold_batches();

-- While the host's table is locked this step waits for nobody, the ledger neither (T38).
select pg_advisory_xact_lock(18773004, 0);

select set_config('iu_gates.switch_by', 'function', true);

-- The trigger goes with its function, which is ours; the table is the host's.
drop function fn_iu_capture() cascade;

update iu_gates.capture_span set ended_at = clock_timestamp() where ended_at is null;

drop function fn_iu_is_late(text, bigint);

drop function fn_iu_route_dry(text);

drop function fn_iu_gate_set(text);

drop function fn_iu_cluster_id();

delete from iu_runtime_gate where gate_name = 'iu_core.route_worker_enabled';

delete from iu_route_cursor where not exists (select from iu_event);

update iu_outbound_route set enabled = false
where route_name = 'iu.version_applied.workflow'
  and (exists (select from iu_event) or exists (select from iu_route_attempt));

delete from iu_outbound_route
where route_name = 'iu.version_applied.workflow'
  and not exists (select from iu_event) and not exists (select from iu_route_attempt);
