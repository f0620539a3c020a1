-- What waits on a live route, no history: a row goes when its event is delivered or given up on.
-- Of a subject's rows the first has a due time; those behind it have none until it has gone.

create table iu_route_parked (
    route_name text not null,
    event_id bigint not null,
    subject text not null,
    tries integer not null default 0,
    due_at timestamptz,
    parked_at timestamptz not null default clock_timestamp(),
    constraint iu_route_parked_pkey primary key (route_name, event_id),
    constraint iu_route_parked_route_name_fkey
    foreign key (route_name) references iu_outbound_route (route_name)
);

create index iu_route_parked_subject_idx on iu_route_parked (route_name, subject, event_id);

create index iu_route_parked_due_idx on iu_route_parked (route_name, due_at, event_id)
where due_at is not null;

comment on table iu_route_parked is 'Events that failed and will be tried again, and those of their subject behind them';
comment on column iu_route_parked.route_name is 'The route';
comment on column iu_route_parked.event_id is 'The event';
comment on column iu_route_parked.subject is 'The unit';
comment on column iu_route_parked.tries is 'How often it failed since it was captured or redriven';
comment on column iu_route_parked.due_at is 'When it is tried again; null behind an earlier one of its subject';
comment on column iu_route_parked.parked_at is 'Server clock';
