-- xact_id stands before event_id, so that its default is evaluated first: whoever writes an
-- event has a transaction id before it draws an event_id (T6). The cursor rests on that, and
-- on identity without cache (T3).
--
-- No CHECK: one is parsed and planned anew by every INSERT, a good part of what capture costs a row
-- (docs/decisions/0011). Only our functions insert, and they say the type themselves.

create table iu_event (
    xact_id xid8 not null default pg_current_xact_id(),
    event_id bigint generated always as identity (cache 1 no cycle),
    cluster_id bigint not null,
    event_type text not null,
    subject text not null,
    version_seq bigint not null,
    payload jsonb not null,
    captured_at timestamptz not null default now(),
    constraint iu_event_pkey primary key (event_id),
    constraint iu_event_type_subject_version_seq_key unique (event_type, subject, version_seq)
);

create index iu_event_xact_id_event_id_idx on iu_event (xact_id, event_id);

comment on table iu_event is 'Applied changes of the host, captured in the transaction of the change';
comment on column iu_event.xact_id is 'Transaction that wrote the event, with epoch';
comment on column iu_event.event_id is 'Order of capture; gaps where transactions rolled back';
comment on column iu_event.cluster_id is 'System identifier of the cluster in which xact_id means something';
comment on column iu_event.event_type is 'What happened, for example iu.version_applied';
comment on column iu_event.subject is 'The unit, as text';
comment on column iu_event.version_seq is 'Its version; 1 creates the unit and is no event';
comment on column iu_event.payload is 'What receivers are told';
comment on column iu_event.captured_at is 'Start of the host''s transaction; no order follows from it';

create trigger iu_event_append_only
before update or delete or truncate on iu_event
for each statement execute function iu_gates.fn_keep_history();
