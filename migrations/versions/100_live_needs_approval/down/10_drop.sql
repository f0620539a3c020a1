select iu_gates.fn_hold_batches();

select set_config('iu_gates.switch_by', 'function', true);

-- Live routes are made dry; what comes from now on is held, not lost.
update iu_outbound_route set dry_run = true where not dry_run;

alter table iu_outbound_route drop constraint iu_outbound_route_live_approved_chk;

alter table iu_outbound_route
add constraint iu_outbound_route_safe_chk check (enabled = false or dry_run = true) not valid;

alter table iu_outbound_route validate constraint iu_outbound_route_safe_chk;

drop function fn_iu_route_quota(text, bigint);

drop function fn_iu_route_live(text, bigint, bigint);

drop trigger iu_outbound_route_stamp_live on iu_outbound_route;

drop function fn_iu_stamp_live();

alter table iu_outbound_route drop constraint iu_outbound_route_approval_fkey;

alter table iu_outbound_route
drop column approval_id,
drop column approval_granted_at,
drop column approval_expires_at,
drop column live_since;

select iu_gates.fn_void(
    array['check_relaxed', 'disable_proven', 'rehearsal', 'approval', 'canary', 'live',
          '*/seam', '*/approval', '*/canary', '*/live'],
    'substrate/100 was taken back');
