-- A foreign key to the event would cost four times as much as the insert (T19): `audit` checks it.

create table iu_route_attempt (
    attempt_id bigint generated always as identity,
    route_name text not null,
    event_id bigint not null,
    status text not null,
    delivered boolean not null generated always as (status in ('sent', 'replayed')) stored,
    idempotency_key text not null,
    sqlstate text,
    message text,
    attempted_at timestamptz not null default clock_timestamp(),
    constraint iu_route_attempt_pkey primary key (attempt_id),
    constraint iu_route_attempt_route_name_fkey
    foreign key (route_name) references iu_outbound_route (route_name),
    constraint iu_route_attempt_status_chk
    check (status in ('dry_run', 'held', 'sent', 'duplicate', 'failed', 'replayed', 'skipped'))
);

create unique index iu_route_attempt_once_idx on iu_route_attempt (route_name, event_id, status)
where status in ('dry_run', 'held', 'sent');

-- What a trip counts. Only a failed try has a row in it: the others pay nothing.
create index iu_route_attempt_failed_idx on iu_route_attempt (route_name, attempted_at)
where status = 'failed' and sqlstate is not null;

-- The others of an event, for `history prune`; only those that were no first success have a row in it.
create index iu_route_attempt_other_idx on iu_route_attempt (event_id)
where status in ('failed', 'duplicate', 'replayed', 'skipped');

comment on table iu_route_attempt is 'One try of one event on one route; append-only';
comment on column iu_route_attempt.attempt_id is 'Order of the tries';
comment on column iu_route_attempt.route_name is 'The route';
comment on column iu_route_attempt.event_id is 'The event';
comment on column iu_route_attempt.status is
'dry_run, held, sent, duplicate (the target had this key with this content), failed, replayed or skipped';
comment on column iu_route_attempt.delivered is 'True if this try put the event into the target';
comment on column iu_route_attempt.idempotency_key is 'The key under which the target knows the event';
comment on column iu_route_attempt.sqlstate is 'Of a failed try';
comment on column iu_route_attempt.message is 'Of a failed try, or a remark';
comment on column iu_route_attempt.attempted_at is 'Server clock';

create trigger iu_route_attempt_append_only
before update or delete or truncate on iu_route_attempt
for each statement execute function iu_gates.fn_keep_history();
