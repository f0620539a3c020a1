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

create or replace function iu_gates.fn_capture_baseline() returns void
language plpgsql security definer
set search_path from current
as $$
begin
    if current_setting('transaction_read_only')::boolean
       or not exists (select from iu_gates.capture_span where baseline_at is null) then
        return;
    end if;
    -- What the host wrote while nothing captured: rows without an event whose writer had
    -- committed when the newest span began. xmin is 32 bits wide; the newest transaction with
    -- those bits is taken, and that is right for two thousand million transactions.
    insert into iu_gates.capture_baseline (span_no, subject, max_version_seq)
    select s.span_no, u.:"iu_unit_column"::text, max(u.:"iu_version_column")
    from iu_gates.capture_span as s
    cross join :"iu_host_schema".:"iu_unit_table" as u
    cross join lateral (
        select (w.here - ((w.here - u.xmin::text::bigint) % 4294967296 + 4294967296) % 4294967296) as xid
        from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as here) as w
    ) as x
    where s.baseline_at is null
      and u.:"iu_version_column" > 1
      and pg_visible_in_snapshot(greatest(x.xid, 3)::text::xid8, s.began_snapshot)
      and not exists (
          select from :"iu_schema".iu_event as e
          where e.event_type = 'iu.version_applied'
            and e.subject = u.:"iu_unit_column"::text and e.version_seq = u.:"iu_version_column")
      and not exists (
          select from iu_gates.pruned_event as p
          where p.event_type = 'iu.version_applied'
            and p.subject = u.:"iu_unit_column"::text and p.versions @> u.:"iu_version_column"::bigint)
    group by s.span_no, u.:"iu_unit_column"::text
    on conflict (subject, span_no) do nothing;
    update iu_gates.capture_span set baseline_at = clock_timestamp() where baseline_at is null;
end
$$;

comment on function iu_gates.fn_capture_baseline()
is 'Count, once a span, what was written before it: so that an auditor need not write';
revoke execute on function iu_gates.fn_capture_baseline() from public;
