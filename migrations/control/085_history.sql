-- The history of the data path: as lines for an export, as one state to compare with, and the
-- only way in which it is ever removed.
--
-- A purge is a row of iu_gates.purge. Its trigger checks everything itself, under the locks:
-- the votes, the export, the rows as they are now, the backup. The tables of 008 take a TRUNCATE
-- in the transaction of such a row and in no other, so that nothing but this trigger stands
-- between the owner and the history, whatever a command would say.

create or replace function iu_gates.fn_history_tables(p_upto bigint)
returns table (table_name text, is_purged boolean, line_query text, columns jsonb)
language sql stable
set search_path from current
as $$
    -- A line is {"table": name, "row": {column: value}}. bigint and numeric as text: a JSON
    -- number of theirs is not safe beyond 2^53. With a bound: what is about the events up to it.
    select t.name, t.is_purged,
           format('select ''{"table":"%s","row":'' || row_to_json(r)::text || ''}'' as line'
                  ' from (select %s from %I.%I as t%s order by %s) as r',
                  t.name, c.list, t.home, t.name,
                  case when p_upto is not null and t.bounded <> '' then format(' where ' || t.bounded, p_upto, t.home) end,
                  t.sorted),
           c.types
    from (values
        (1, :'iu_schema', 'iu_event', 't.event_id', true, 't.event_id <= %s'),
        (2, :'iu_schema', 'iu_outbound_route', 't.route_name', false, ''),
        (3, :'iu_schema', 'iu_route_attempt', 't.attempt_id', true, 't.event_id <= %s'),
        (4, :'iu_schema', 'iu_route_dead_letter', 't.dead_letter_id', true, 't.event_id <= %s'),
        (5, :'iu_schema', 'iu_route_redrive', 't.dead_letter_id', true,
         't.dead_letter_id in (select d.dead_letter_id from %2$I.iu_route_dead_letter as d where d.event_id <= %1$s)'),
        (6, :'iu_schema', 'iu_route_parked', 't.route_name, t.event_id', true, null),
        (7, :'iu_schema', 'iu_route_cursor', 't.cursor_no', true, null),
        (8, :'iu_schema', 'iu_route_carry_over', 't.route_name, t.window_stamp, t.event_id', true, null),
        (9, 'iu_gates', 'capture_span', 't.span_no', false, null),
        (10, 'iu_gates', 'capture_baseline', 't.subject, t.span_no', false, null)
    ) as t (place, home, name, sorted, is_purged, bounded)
    cross join lateral (
        select string_agg(case when a.atttypid in ('bigint'::regtype, 'numeric'::regtype)
                               then format('t.%1$I::text as %1$I', a.attname)
                               else format('t.%I', a.attname) end, ', ' order by a.attnum) as list,
               jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)) as types
        from pg_attribute as a
        where a.attrelid = to_regclass(format('%I.%I', t.home, t.name)) and a.attnum > 0 and not a.attisdropped
    ) as c
    where c.list is not null and (p_upto is null or t.bounded is not null)
    order by t.place
$$;

comment on function iu_gates.fn_history_tables(bigint)
is 'Tables of the history that there are, the query that gives each row as a line, and the columns'' types';
revoke execute on function iu_gates.fn_history_tables(bigint) from public;

create or replace function iu_gates.fn_history_state(p_purged_only boolean, p_upto bigint) returns jsonb
language plpgsql stable
set search_path from current
set timezone to 'UTC'
set jit to off
as $$
declare
    v_table record;
    v_one jsonb;
    v_state jsonb := '{}'::jsonb;
begin
    for v_table in
        select t.table_name, t.line_query from iu_gates.fn_history_tables(p_upto) as t
        where t.is_purged or not p_purged_only
    loop
        -- The sum of the first 60 bits of each line's SHA-256: no order, no memory.
        execute format(
            'select jsonb_build_object(''rows'', count(*), ''content'', coalesce(sum(
                 (''x'' || left(encode(sha256(convert_to(l.line, ''UTF8'')), ''hex''), 15))::bit(60)::bigint), 0)::text)
             from (%s) as l', v_table.line_query) into v_one;
        v_state := v_state || jsonb_build_object(v_table.table_name, v_one);
    end loop;
    return v_state;
end
$$;

comment on function iu_gates.fn_history_state(boolean, bigint)
is 'Rows and a sum over the lines of each table of the history, or of those alone that a purge empties';
revoke execute on function iu_gates.fn_history_state(boolean, bigint) from public;

create table if not exists iu_gates.purge (
    purge_no bigint generated always as identity,
    digest text not null,
    contents jsonb not null,
    logins text[] not null,
    purged_by text not null,
    purged_at timestamptz not null,
    xact_id xid8 not null,
    constraint purge_pkey primary key (purge_no),
    constraint purge_digest_key unique (digest)
);

comment on table iu_gates.purge is 'Each removal of history; a row is checked by its trigger and lets its transaction pass';
comment on column iu_gates.purge.purge_no is 'Number of the purge';
comment on column iu_gates.purge.digest is 'What was voted on, SHA-256 in hex; once only';
comment on column iu_gates.purge.contents is 'What the digest is about: export, rows, database';
comment on column iu_gates.purge.logins is 'Who approved';
comment on column iu_gates.purge.purged_by is 'The login, session_user';
comment on column iu_gates.purge.purged_at is 'Start of its transaction';
comment on column iu_gates.purge.xact_id is 'Its transaction, the only one that may remove history';

create or replace trigger purge_append_only
before update or delete or truncate on iu_gates.purge
for each statement execute function iu_gates.fn_append_only();

create table if not exists iu_gates.purged_version (
    purge_no bigint not null,
    subject text not null,
    max_version_seq bigint not null,
    constraint purged_version_pkey primary key (subject, purge_no),
    constraint purged_version_purge_no_fkey foreign key (purge_no) references iu_gates.purge (purge_no)
);

comment on table iu_gates.purged_version is 'How far each unit''s events went when they were purged, so that `audit` misses none';
comment on column iu_gates.purged_version.purge_no is 'The purge';
comment on column iu_gates.purged_version.subject is 'The unit';
comment on column iu_gates.purged_version.max_version_seq is 'Its highest version with an event then';

create or replace function iu_gates.fn_purge_digest(p_contents jsonb) returns text
language sql immutable
set search_path from current
as $$ select encode(sha256(convert_to(p_contents::text, 'UTF8')), 'hex') $$;

comment on function iu_gates.fn_purge_digest(jsonb) is 'The digest that an approval of a purge is about';
revoke execute on function iu_gates.fn_purge_digest(jsonb) from public;

create or replace function iu_gates.fn_purge_contents(p_digest text) returns jsonb
language sql stable
set search_path from current
as $$
    select l.facts -> 'contents' from iu_gates.ledger as l
    where l.kind = 'request' and l.subject = 'purge' and l.facts ->> 'digest' = p_digest
      and iu_gates.fn_purge_digest(l.facts -> 'contents') = p_digest
    order by l.seq desc limit 1
$$;

comment on function iu_gates.fn_purge_contents(text) is 'What was asked for under this digest; null if nothing was';
revoke execute on function iu_gates.fn_purge_contents(text) from public;

create or replace function iu_gates.fn_purge_logins(p_digest text) returns text[]
language sql stable
set search_path from current
as $$
    -- Neither who asked nor who purges has a say.
    select coalesce(array_agg(v.login order by v.login), '{}')
    from iu_gates.fn_votes(p_digest) as v
    where v.choice = 'approve' and v.login <> session_user
      and v.voted_at + make_interval(secs => (iu_gates.fn_purge_contents(p_digest) ->> 'valid_for_s')::double precision)
          > clock_timestamp()
      and not exists (
          select from iu_gates.ledger as l
          where l.kind = 'request' and l.subject = 'purge' and l.facts ->> 'digest' = p_digest and l.actor = v.login)
$$;

comment on function iu_gates.fn_purge_logins(text) is 'Logins whose approval of a purge counts now';
revoke execute on function iu_gates.fn_purge_logins(text) from public;

create or replace function iu_gates.fn_purge_unapproved(p_digest text) returns text[]
language plpgsql stable
set search_path from current
as $$
declare
    v_needed integer := (iu_gates.fn_purge_contents(p_digest) ->> 'needed')::integer;
    v_logins text[] := iu_gates.fn_purge_logins(p_digest);
    v_findings text[] := '{}'::text[];
begin
    if v_needed is null then
        return array['nobody asked for approval of a purge with this digest'];
    end if;
    if cardinality(v_logins) < greatest(v_needed, 1) then
        v_findings := array[format('approved by %s of %s logins other than the one that asked',
                                   cardinality(v_logins), greatest(v_needed, 1))];
    end if;
    return v_findings || array(
        select format('rejected by "%s"', v.login) from iu_gates.fn_votes(p_digest) as v where v.choice = 'reject');
end
$$;

comment on function iu_gates.fn_purge_unapproved(text) is 'What a purge lacks of its approval; empty if nothing';
revoke execute on function iu_gates.fn_purge_unapproved(text) from public;

create or replace function iu_gates.fn_purge_active() returns text[]
language plpgsql stable
set search_path from current
as $$
declare
    v_findings text[] := '{}'::text[];
    v_is_on boolean;
begin
    if exists (select from pg_trigger as t where t.tgname = 'iu_unit_version_capture' and not t.tgisinternal) then
        v_findings := v_findings || 'capture is on: what the host writes now would be history too'::text;
    end if;
    if to_regclass(format('%I.iu_runtime_gate', :'iu_schema')) is not null then
        execute format('select exists (select from %I.iu_runtime_gate where gate_value = ''true'')', :'iu_schema')
        into v_is_on;
        if v_is_on then
            v_findings := v_findings || 'the worker gate is open'::text;
        end if;
    end if;
    return v_findings;
end
$$;

comment on function iu_gates.fn_purge_active() is 'What is still on and would have to be off before a purge; empty if nothing';
revoke execute on function iu_gates.fn_purge_active() from public;

create or replace function iu_gates.fn_purge_changed(p_contents jsonb) returns text[]
language sql stable
set search_path from current
as $$
    select coalesce(array_agg(
               format('%s: %s rows now, %s in the export%s', n.key, n.value ->> 'rows',
                      coalesce(p_contents -> 'tables' -> n.key ->> 'rows', 'not'),
                      case when n.value -> 'rows' = p_contents -> 'tables' -> n.key -> 'rows'
                           then ', and not the same' else '' end) order by n.key), '{}')
    from jsonb_each(iu_gates.fn_history_state(true, null)) as n
    where n.value is distinct from p_contents -> 'tables' -> n.key
$$;

comment on function iu_gates.fn_purge_changed(jsonb) is 'Tables that are not as the export has them; empty if none';
revoke execute on function iu_gates.fn_purge_changed(jsonb) from public;

create or replace function iu_gates.fn_purge_findings(p_digest text) returns text[]
language plpgsql stable
set search_path from current
as $$
declare
    v_contents jsonb := iu_gates.fn_purge_contents(p_digest);
    v_findings text[] := iu_gates.fn_purge_unapproved(p_digest) || iu_gates.fn_purge_active();
begin
    if v_contents is null then
        return v_findings;
    end if;
    if not exists (select from iu_gates.ledger as l
                   where l.kind = 'export' and l.facts ->> 'digest' = v_contents ->> 'export'
                     and (l.facts -> 'tables') @> (v_contents -> 'tables')) then
        v_findings := v_findings || 'the ledger knows of no such export'::text;
    end if;
    if not exists (select from iu_gates.installation as i
                   where i.system_identifier::text = v_contents -> 'database' ->> 'system_identifier'
                     and i.database_oid::text = v_contents -> 'database' ->> 'oid') then
        v_findings := v_findings || 'the export is of another database'::text;
    end if;
    v_findings := v_findings || iu_gates.fn_purge_changed(v_contents);
    if iu_gates.fn_not_in_force('backup') is not null then
        v_findings := v_findings || format('backup: %s', iu_gates.fn_not_in_force('backup'));
    elsif iu_gates.fn_backup_stale('purge') is not null then
        v_findings := v_findings || format('backup: %s', iu_gates.fn_backup_stale('purge'));
    end if;
    return v_findings;
end
$$;

comment on function iu_gates.fn_purge_findings(text) is 'Why a purge may not be; empty if it may';
revoke execute on function iu_gates.fn_purge_findings(text) from public;

create or replace function iu_gates.fn_purge_guard() returns trigger
language plpgsql
set search_path from current
set lock_timeout to '2s'
as $$
declare
    v_table text;
    v_findings text[];
begin
    -- No batch in hand, and none begins; nobody adds a row, but everybody goes on reading.
    perform pg_advisory_xact_lock(18773001, 0);
    for v_table in select t.table_name from iu_gates.fn_history_tables(null) as t where t.is_purged loop
        execute format('lock table %I.%I in exclusive mode', :'iu_schema', v_table);
    end loop;
    v_findings := iu_gates.fn_purge_findings(new.digest);
    if cardinality(v_findings) > 0 then
        raise exception 'the purge is refused: %', v_findings[1]
            using errcode = 'IUG83',
                  detail = array_to_string(v_findings, E'\n'),
                  hint = 'iu-gates ledger show --kind export';
    end if;
    new.contents := iu_gates.fn_purge_contents(new.digest);
    new.logins := iu_gates.fn_purge_logins(new.digest);
    new.purged_by := session_user;
    new.purged_at := now();
    new.xact_id := pg_current_xact_id();
    return new;
end
$$;

comment on function iu_gates.fn_purge_guard() is 'Let a purge pass only if it is approved, exported, backed up, and nothing came since';
revoke execute on function iu_gates.fn_purge_guard() from public;

create or replace trigger purge_guard
before insert on iu_gates.purge
for each row execute function iu_gates.fn_purge_guard();

create or replace function iu_gates.fn_is_pruning() returns boolean
language sql volatile
set search_path from current
as $$
    -- The setting alone is anybody's; below a trigger that set it in this transaction there is
    -- iu_gates.prune_batch (088_prune.sql) and nothing else of ours.
    select pg_trigger_depth() > 1
           and current_setting('iu_gates.pruning', true) = pg_current_xact_id_if_assigned()::text
$$;

comment on function iu_gates.fn_is_pruning() is 'True in a trigger below that of a batch of a prune';
revoke execute on function iu_gates.fn_is_pruning() from public;

create or replace function iu_gates.fn_keep_history() returns trigger
language plpgsql
set search_path from current
as $$
begin
    if tg_op = 'TRUNCATE' and exists (
        select from iu_gates.purge as p
        -- A restored copy has other transactions under the same numbers, but not at that time.
        where p.xact_id = pg_current_xact_id_if_assigned() and p.purged_at = now()
    ) then
        return null;
    end if;
    if tg_op = 'DELETE' and iu_gates.fn_is_pruning() then
        return null;
    end if;
    raise exception '"%.%" is append-only: % is refused', tg_table_schema, tg_table_name, lower(tg_op)
        using errcode = 'IUG40',
              hint = 'history is kept; iu-gates history prune and purge are the only ways to remove it';
end
$$;

comment on function iu_gates.fn_keep_history() is 'Refuse UPDATE, DELETE and TRUNCATE of history, but for an approved purge and a batch of a prune';
revoke execute on function iu_gates.fn_keep_history() from public;

create or replace function iu_gates.fn_purge_history(p_digest text) returns bigint
language plpgsql
set search_path from current
set lock_timeout to '2s'
as $$
declare
    v_purge iu_gates.purge;
begin
    insert into iu_gates.purge (digest) values (p_digest) returning * into v_purge;
    execute format(
        'insert into iu_gates.purged_version (purge_no, subject, max_version_seq)
         select $1, e.subject, max(e.version_seq) from %I.iu_event as e group by e.subject', :'iu_schema')
    using v_purge.purge_no;
    execute (
        select 'truncate ' || string_agg(format('%I.%I', :'iu_schema', t.table_name), ', ')
        from iu_gates.fn_history_tables(null) as t where t.is_purged);
    -- As 060's downgrade leaves it where there is no history: the next 060 begins anew.
    execute format('delete from %I.iu_outbound_route where route_name = $1', :'iu_schema')
    using 'iu.version_applied.workflow';
    perform iu_gates.fn_ledger_append('purge', 'history', v_purge.contents || jsonb_build_object(
        'digest', p_digest, 'logins', v_purge.logins, 'purge_no', v_purge.purge_no));
    return v_purge.purge_no;
end
$$;

comment on function iu_gates.fn_purge_history(text) is 'Remove the history that an approved purge is about; its ledger entry stays for ever';
revoke execute on function iu_gates.fn_purge_history(text) from public;
