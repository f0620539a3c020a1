-- Snapshots mean nothing in another cluster. What was not worked through when a database moved is
-- written down once, by fn_iu_cursor_rebase, and worked through before the first window there.

create table iu_route_carry_over (
    route_name text not null,
    window_stamp bigint not null,
    event_id bigint not null,
    constraint iu_route_carry_over_pkey primary key (route_name, window_stamp, event_id),
    constraint iu_route_carry_over_route_name_fkey
    foreign key (route_name) references iu_outbound_route (route_name)
);

comment on table iu_route_carry_over is 'Events that a re-base found not worked through; the open window of a cursor';
comment on column iu_route_carry_over.route_name is 'The route';
comment on column iu_route_carry_over.window_stamp is 'new_stamp of the cursor whose window this is';
comment on column iu_route_carry_over.event_id is 'The event';
