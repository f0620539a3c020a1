alter table iu_outbound_route
add constraint iu_outbound_route_approval_fkey
foreign key (approval_id, route_name, definition_hash, approval_granted_at, approval_expires_at)
references iu_gates.approval (approval_id, route_name, definition_hash, granted_at, expires_at) not valid;

alter table iu_outbound_route drop constraint iu_outbound_route_safe_chk;

alter table iu_outbound_route
add constraint iu_outbound_route_live_approved_chk check (
    not enabled or dry_run or (
        approval_id is not null and approval_granted_at is not null and approval_expires_at is not null
        and live_since is not null
        and live_since >= approval_granted_at and live_since < approval_expires_at
    )
) not valid;

alter table iu_outbound_route validate constraint iu_outbound_route_approval_fkey;

alter table iu_outbound_route validate constraint iu_outbound_route_live_approved_chk;
