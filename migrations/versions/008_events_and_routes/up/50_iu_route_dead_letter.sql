create table iu_route_dead_letter (
    dead_letter_id bigint generated always as identity,
    route_name text not null,
    event_id bigint not null,
    idempotency_key text not null,
    reason text not null,
    sqlstate text,
    message text,
    tries integer not null default 1,
    subject text not null,
    version_seq bigint not null,
    payload jsonb not null,
    given_up_at timestamptz not null default clock_timestamp(),
    constraint iu_route_dead_letter_pkey primary key (dead_letter_id),
    constraint iu_route_dead_letter_route_name_fkey
    foreign key (route_name) references iu_outbound_route (route_name),
    constraint iu_route_dead_letter_reason_chk check (
        reason in ('data error', 'target full', 'key collision', 'held behind'))
);

create index iu_route_dead_letter_route_name_event_id_idx
on iu_route_dead_letter (route_name, event_id);

create index iu_route_dead_letter_route_name_subject_idx
on iu_route_dead_letter (route_name, subject, event_id);

comment on table iu_route_dead_letter is 'Events given up on, with the reason; open until iu_route_redrive names it';
comment on column iu_route_dead_letter.dead_letter_id is 'Order of giving up';
comment on column iu_route_dead_letter.route_name is 'The route';
comment on column iu_route_dead_letter.event_id is 'The event';
comment on column iu_route_dead_letter.idempotency_key is 'Its key, the same for every try';
comment on column iu_route_dead_letter.reason is 'data error, target full, key collision, or held behind another of its subject';
comment on column iu_route_dead_letter.sqlstate is 'Of the last try';
comment on column iu_route_dead_letter.message is 'Of the last try';
comment on column iu_route_dead_letter.tries is 'How often it was tried since it was captured or redriven';
comment on column iu_route_dead_letter.subject is 'The unit';
comment on column iu_route_dead_letter.version_seq is 'Its version';
comment on column iu_route_dead_letter.payload is 'What would have been told';
comment on column iu_route_dead_letter.given_up_at is 'Server clock';

create trigger iu_route_dead_letter_append_only
before update or delete or truncate on iu_route_dead_letter
for each statement execute function iu_gates.fn_keep_history();
