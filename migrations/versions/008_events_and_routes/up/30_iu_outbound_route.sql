create table iu_outbound_route (
    route_name text not null,
    route_no integer generated always as identity,
    event_type text not null,
    event_filter jsonb,
    target_kind text not null,
    target_ref text not null,
    on_dead_letter text not null default 'pass',
    enabled boolean not null default false,
    dry_run boolean not null default true,
    quota bigint,
    live_from timestamptz,
    max_tries integer not null default 5,
    retry_seconds integer not null default 10,
    trip_failures integer not null default 100,
    trip_seconds integer not null default 300,
    definition_hash text not null generated always as (
        fn_iu_route_definition(route_name, event_type, target_kind, target_ref, on_dead_letter, event_filter)
    ) stored,
    created_at timestamptz not null default now(),
    constraint iu_outbound_route_pkey primary key (route_name),
    constraint iu_outbound_route_route_no_key unique (route_no),
    constraint iu_outbound_route_route_name_chk
    check (route_name ~ '^[a-z0-9][a-z0-9_.-]*$' and length(route_name) <= 100),
    constraint iu_outbound_route_event_type_chk
    check (event_type ~ '^[a-z0-9][a-z0-9_.-]*$' and length(event_type) <= 100),
    constraint iu_outbound_route_event_filter_chk check (
        jsonb_typeof(event_filter) = 'object' and event_filter - 'subject' - 'payload' = '{}' and event_filter <> '{}'
        and coalesce(jsonb_typeof(event_filter -> 'subject'), 'string') = 'string'
        and coalesce(jsonb_typeof(event_filter -> 'payload'), 'object') = 'object'
    ),
    constraint iu_outbound_route_target_kind_chk
    check (target_kind in ('workflow', 'notify', 'webhook', 'nats')),
    constraint iu_outbound_route_on_dead_letter_chk check (on_dead_letter in ('hold', 'pass')),
    constraint iu_outbound_route_quota_chk check (quota >= 0),
    constraint iu_outbound_route_max_tries_chk check (max_tries between 1 and 1000),
    constraint iu_outbound_route_retry_seconds_chk check (retry_seconds between 0 and 3600),
    constraint iu_outbound_route_trip_failures_chk check (trip_failures >= 0),
    constraint iu_outbound_route_trip_seconds_chk check (trip_seconds between 1 and 604800),
    constraint iu_outbound_route_safe_chk check (enabled = false or dry_run = true)
);

comment on table iu_outbound_route is 'Rules from an event type to a target';
comment on column iu_outbound_route.route_name is 'Name; part of every idempotency key';
comment on column iu_outbound_route.route_no is 'Number, for advisory keys';
comment on column iu_outbound_route.event_type is 'Events of this type are attempted';
comment on column iu_outbound_route.event_filter is
'Of these, those with this subject or this within their payload: {"subject": text, "payload": object}; null is all';
comment on column iu_outbound_route.target_kind is 'workflow, notify, webhook or nats';
comment on column iu_outbound_route.target_ref is 'The target: a table of the host, a channel, an address';
comment on column iu_outbound_route.on_dead_letter is 'hold or pass: what later events of a subject do behind a dead letter';
comment on column iu_outbound_route.enabled is 'Switch: off holds everything';
comment on column iu_outbound_route.dry_run is 'Switch: evaluate, but deliver nothing';
comment on column iu_outbound_route.quota is 'Deliveries left to a canary; null is no limit, 0 is spent and holds';
comment on column iu_outbound_route.live_from is 'When it first went live; from then on dry-run holds instead of consuming';
comment on column iu_outbound_route.max_tries is 'An event that failed so often is given up on';
comment on column iu_outbound_route.retry_seconds is 'Wait before the second try; doubled each time, up to an hour';
comment on column iu_outbound_route.trip_failures is 'More failed tries than this within trip_seconds take the route back to dry-run';
comment on column iu_outbound_route.trip_seconds is 'Length of the sliding window of trip_failures';
comment on column iu_outbound_route.definition_hash is 'Hash of the definition, for approvals';
comment on column iu_outbound_route.created_at is 'When the route was added';
