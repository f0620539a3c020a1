create table iu_runtime_gate (
    gate_name text not null,
    gate_value text not null default 'false',
    changed_at timestamptz not null default clock_timestamp(),
    constraint iu_runtime_gate_pkey primary key (gate_name),
    constraint iu_runtime_gate_gate_value_chk check (gate_value in ('true', 'false'))
);

comment on table iu_runtime_gate is 'Switches that hold all routes';
comment on column iu_runtime_gate.gate_name is 'iu_core.route_worker_enabled';
comment on column iu_runtime_gate.gate_value is 'true or false';
comment on column iu_runtime_gate.changed_at is 'Server clock';

create table iu_worker_heartbeat (
    worker_id text not null,
    invocation text not null,
    host_name text not null,
    process_id integer not null,
    version text not null,
    last_state text not null,
    seen_at timestamptz not null default clock_timestamp(),
    constraint iu_worker_heartbeat_pkey primary key (worker_id)
);

comment on table iu_worker_heartbeat is 'When each worker was last seen';
comment on column iu_worker_heartbeat.worker_id is 'Host and invocation';
comment on column iu_worker_heartbeat.invocation is 'How it was started: systemd, cron, pg_cron, dot or manual';
comment on column iu_worker_heartbeat.host_name is 'The machine it runs on';
comment on column iu_worker_heartbeat.process_id is 'Its process';
comment on column iu_worker_heartbeat.version is 'Version of iu-gates';
comment on column iu_worker_heartbeat.last_state is 'What its last round did';
comment on column iu_worker_heartbeat.seen_at is 'Server clock';
