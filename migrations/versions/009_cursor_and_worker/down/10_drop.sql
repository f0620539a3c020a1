select iu_gates.fn_refuse_history('009');

-- A batch in hand takes these tables in another order (T24).
select iu_gates.fn_hold_batches();

drop function fn_iu_rebase(text, boolean);

drop function fn_iu_route_replay(text, bigint, bigint, timestamptz, timestamptz, integer, text);

drop function fn_iu_route_again(text, bigint[]);

drop function fn_iu_route_past(text, bigint, bigint, timestamptz, timestamptz, bigint);

drop function fn_iu_route_skip(text, bigint);

drop function fn_iu_route_add(jsonb, jsonb, bigint);

drop function fn_iu_route_set(text, jsonb);

drop function fn_iu_cursor_pending(iu_route_cursor, pg_snapshot, xid8);

drop function fn_iu_cursor_has_passed(iu_route_cursor, iu_event);

drop function fn_iu_route_worker_run(text, integer, text);

drop function fn_iu_worker_figures();

drop function fn_iu_routes_sift(text[], text);

drop function fn_iu_routes_due(pg_snapshot, bigint);

drop function fn_iu_bell_still(bigint);

drop function fn_iu_bell_arm(bigint);

drop sequence iu_bell;

drop function fn_iu_worker_beat(text, text, text, integer, text, text);

drop function fn_iu_worker_require(text);

drop function fn_iu_route_redrive(bigint[], jsonb);

drop function fn_iu_route_redrive_lacks(bigint[]);

drop function fn_iu_route_trip(text);

drop function fn_iu_route_release(text, bigint[]);

drop function fn_iu_route_due(text, integer);

drop function fn_iu_canary_attempt(text, bigint[], bigint);

drop function fn_iu_route_attempt(text, bigint[]);

drop function fn_iu_route_try(text, bigint[]);

drop function fn_iu_route_behind(text, bigint[]);

drop function fn_iu_route_fail(text, bigint, text, text, text);

drop function fn_iu_route_wait(text, bigint[]);

drop function fn_iu_route_give_up(text, bigint[], text, text, text);

drop function fn_iu_route_fault(text, text);

drop function fn_iu_route_record(text, bigint[], text);

drop function fn_iu_route_deliver(text, bigint[]);

drop function fn_iu_cursor_prune();

drop function fn_iu_cursor_rebase(text, bigint, xid8, bigint, boolean);

drop function fn_iu_cursor_current(text, text);

drop function fn_iu_cursor_move(iu_route_cursor, bigint, boolean);

drop function fn_iu_cursor_batch(iu_route_cursor, text, jsonb, integer);

drop function fn_iu_cursor_has_work(iu_route_cursor);

drop function fn_iu_cursor_open(iu_route_cursor, bigint, xid8);

drop function fn_iu_late_xids(iu_route_cursor, pg_snapshot, xid8);

drop function fn_iu_event_seq();

drop function fn_iu_route_mode(text);

drop function fn_iu_route_resolve(text, text, jsonb);

drop function fn_iu_idempotency_key(text, text, text, bigint);

drop trigger iu_outbound_route_barrier on iu_outbound_route;

drop table iu_worker_heartbeat;

drop table iu_runtime_gate;

drop function fn_iu_switch_barrier();

drop table iu_route_carry_over;

drop table iu_route_cursor;
