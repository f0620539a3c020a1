-- Retention: what is delivered and exported goes from the live history, some at a time.
--
-- A batch is a row of iu_gates.prune_batch. Its trigger looks for the next events that may go and
-- removes them with all that is about them; the tables of 008 take a DELETE below that trigger and
-- nowhere else. It rests on no look of the command's: what came to wait, or is newer than
-- the export, is seen by the batch, in its own transaction. docs/decisions/0012-retention.md.

create table if not exists iu_gates.prune (
    prune_no bigint generated always as identity,
    export_digest text not null,
    upto_event_id bigint not null,
    seen_before xid8 not null,
    begun_by text not null,
    begun_at timestamptz not null,
    constraint prune_pkey primary key (prune_no)
);

comment on table iu_gates.prune is 'Each prune of the history, of what one export holds; append-only';
comment on column iu_gates.prune.prune_no is 'Number of the prune';
comment on column iu_gates.prune.export_digest is 'The export that holds what goes';
comment on column iu_gates.prune.upto_event_id is 'Nothing above goes';
comment on column iu_gates.prune.seen_before is 'Rows of transactions below this one are in the export, if they are in the history';
comment on column iu_gates.prune.begun_by is 'The login, session_user';
comment on column iu_gates.prune.begun_at is 'Server clock';

create or replace trigger prune_append_only
before update or delete or truncate on iu_gates.prune
for each statement execute function iu_gates.fn_append_only();

create table if not exists iu_gates.prune_batch (
    batch_no bigint generated always as identity,
    prune_no bigint not null,
    asked integer not null,
    after_event_id bigint not null,
    upto_event_id bigint not null,
    events integer not null,
    attempts integer not null,
    dead_letters integer not null,
    kept integer not null,
    pruned_at timestamptz not null,
    constraint prune_batch_pkey primary key (batch_no),
    constraint prune_batch_prune_no_fkey foreign key (prune_no) references iu_gates.prune (prune_no),
    constraint prune_batch_asked_chk check (asked between 1 and 100000)
);

create index if not exists prune_batch_prune_no_idx on iu_gates.prune_batch (prune_no, batch_no);

comment on table iu_gates.prune_batch is 'Each batch of a prune, a transaction of its own; its trigger removes. Append-only';
comment on column iu_gates.prune_batch.batch_no is 'Order of the batches';
comment on column iu_gates.prune_batch.prune_no is 'The prune';
comment on column iu_gates.prune_batch.asked is 'At so many events it looks, at most';
comment on column iu_gates.prune_batch.after_event_id is 'It begins above this event';
comment on column iu_gates.prune_batch.upto_event_id is 'It ends with this one';
comment on column iu_gates.prune_batch.events is 'Events that went';
comment on column iu_gates.prune_batch.attempts is 'Attempts that went with them';
comment on column iu_gates.prune_batch.dead_letters is 'Dead letters, all redriven, that went with them';
comment on column iu_gates.prune_batch.kept is 'Events that stayed: an open dead letter, waiting to be tried again, or newer than the export';
comment on column iu_gates.prune_batch.pruned_at is 'Server clock';

create or replace trigger prune_batch_append_only
before update or delete or truncate on iu_gates.prune_batch
for each statement execute function iu_gates.fn_append_only();

create table if not exists iu_gates.pruned_event (
    event_type text not null,
    subject text not null,
    versions int8multirange not null,
    constraint pruned_event_pkey primary key (event_type, subject)
);

comment on table iu_gates.pruned_event is 'Which versions of each unit had an event that was pruned: known, and never captured again';
comment on column iu_gates.pruned_event.event_type is 'Type of the events';
comment on column iu_gates.pruned_event.subject is 'The unit';
comment on column iu_gates.pruned_event.versions is 'Their versions, exactly';

create table if not exists iu_gates.pruned_attempt (
    batch_no bigint not null,
    route_name text not null,
    status text not null,
    attempts bigint not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    constraint pruned_attempt_pkey primary key (batch_no, route_name, status)
);

comment on table iu_gates.pruned_attempt is 'How many attempts went with each batch, by what they were: evidence, and counts';
comment on column iu_gates.pruned_attempt.batch_no is 'The batch';
comment on column iu_gates.pruned_attempt.route_name is 'The route';
comment on column iu_gates.pruned_attempt.status is 'As in iu_route_attempt';
comment on column iu_gates.pruned_attempt.attempts is 'How many';
comment on column iu_gates.pruned_attempt.first_at is 'When the first was made';
comment on column iu_gates.pruned_attempt.last_at is 'When the last was made';

create or replace function iu_gates.fn_keep_pruned() returns trigger
language plpgsql
set search_path from current
as $$
begin
    if tg_op in ('INSERT', 'UPDATE') and iu_gates.fn_is_pruning() then
        return null;
    end if;
    raise exception '"%.%" is written by a prune alone: % is refused', tg_table_schema, tg_table_name, lower(tg_op)
        using errcode = 'IUG40', hint = 'iu-gates history prune --dry-run';
end
$$;

comment on function iu_gates.fn_keep_pruned() is 'Refuse every change but those of a batch of a prune';
revoke execute on function iu_gates.fn_keep_pruned() from public;

create or replace trigger pruned_event_by_prune
before insert or update or delete or truncate on iu_gates.pruned_event
for each statement execute function iu_gates.fn_keep_pruned();

create or replace trigger pruned_attempt_by_prune
before insert or update or delete or truncate on iu_gates.pruned_attempt
for each statement execute function iu_gates.fn_keep_pruned();
