-- The old CHECK said "never live". The new ones say "live only with an approval of this route
-- as it is defined now, unexpired when it went live": the composite key ties the route to an
-- approval of this very definition, the CHECK looks at stamped times, never at now(), which
-- would make a dump unrestorable (T35). Neither is deferrable.

alter table iu_outbound_route
add column approval_id bigint,
add column approval_granted_at timestamptz,
add column approval_expires_at timestamptz,
add column live_since timestamptz;

comment on column iu_outbound_route.approval_id is 'The approval that a live route stands on';
comment on column iu_outbound_route.approval_granted_at is 'Copied from the approval, held by the foreign key';
comment on column iu_outbound_route.approval_expires_at is 'Copied from the approval, held by the foreign key';
comment on column iu_outbound_route.live_since is 'When the route went live; stamped by a trigger';
