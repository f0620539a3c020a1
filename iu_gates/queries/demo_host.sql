-- The host that the demo plays: a content system with its two tables. Runs again without harm.

create table if not exists public.unit_version (
    id bigint generated always as identity,
    unit text not null,
    version_seq integer not null,
    body jsonb not null default '{}',
    commit_hash text,
    created_at timestamptz not null default now(),
    constraint unit_version_pkey primary key (id),
    constraint unit_version_unit_version_seq_key unique (unit, version_seq),
    constraint unit_version_version_seq_chk check (version_seq >= 1)
);

comment on table public.unit_version is
    'The host''s own: one row for each version of an information unit, never changed afterwards.';
comment on column public.unit_version.id is 'The order in which rows were written.';
comment on column public.unit_version.unit is 'The unit; in the demo the path of a file.';
comment on column public.unit_version.version_seq is
    '1 creates the unit; above 1 the row is an applied change.';
comment on column public.unit_version.body is
    'The content; in the demo the name of the file''s content in git.';
comment on column public.unit_version.commit_hash is
    'The change in the source that this version came with; null if it has none.';
comment on column public.unit_version.created_at is
    'The writer''s clock; in the demo the committer''s, so it does not only go forward.';

create table if not exists public.event_outbox (
    id bigint generated always as identity,
    event_type text not null,
    subject text not null,
    payload jsonb not null,
    idempotency_key text not null,
    created_at timestamptz not null default now(),
    constraint event_outbox_pkey primary key (id),
    constraint event_outbox_idempotency_key_key unique (idempotency_key)
);

comment on table public.event_outbox is
    'The host''s own: what its workflow engine reads and acts on, in the order of id.';
comment on column public.event_outbox.id is 'The order in which rows were written.';
comment on column public.event_outbox.event_type is 'What happened.';
comment on column public.event_outbox.subject is 'What it happened to: the unit.';
comment on column public.event_outbox.payload is 'The particulars.';
comment on column public.event_outbox.idempotency_key is
    'The same for every try to deliver one event on one route, so a second row cannot be.';
comment on column public.event_outbox.created_at is 'When the row''s transaction began.';
