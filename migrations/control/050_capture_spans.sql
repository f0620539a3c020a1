-- Where capture began and ended. The host's rows from before it began have no event and are
-- not missed: `audit` and `backfill` count from here. The boundary is a snapshot, taken while
-- 060 holds the trigger's lock, so that all earlier writers have committed (T7); created_at is
-- the host's clock and no boundary. The baseline (per subject, the highest version without an
-- event) is filled in by the first audit, outside of that lock.

create table if not exists iu_gates.capture_span (
    span_no bigint generated always as identity,
    began_at timestamptz not null default clock_timestamp(),
    began_snapshot pg_snapshot not null,
    baseline_at timestamptz,
    ended_at timestamptz,
    constraint capture_span_pkey primary key (span_no)
);

comment on table iu_gates.capture_span is 'One row for each time that the capture trigger was in place';
comment on column iu_gates.capture_span.span_no is 'Number of the span';
comment on column iu_gates.capture_span.began_at is 'When the trigger was made';
comment on column iu_gates.capture_span.began_snapshot is 'What had committed then';
comment on column iu_gates.capture_span.baseline_at is 'When the baseline was counted';
comment on column iu_gates.capture_span.ended_at is 'When the trigger went; what came after is a gap';

create table if not exists iu_gates.capture_baseline (
    span_no bigint not null,
    subject text not null,
    max_version_seq bigint not null,
    constraint capture_baseline_pkey primary key (subject, span_no),
    constraint capture_baseline_span_no_fkey foreign key (span_no) references iu_gates.capture_span (span_no)
);

comment on table iu_gates.capture_baseline is 'Versions that were written while nothing captured';
comment on column iu_gates.capture_baseline.span_no is 'The span that began after them';
comment on column iu_gates.capture_baseline.subject is 'The unit';
comment on column iu_gates.capture_baseline.max_version_seq is 'Its highest version without an event at that time';
