-- The ledger: append-only and hash-chained. One writer at a time, by an advisory key that is
-- held to the end of the transaction, so that a step and its entry are one transaction.
--
-- hash = sha256 of the UTF-8 text of the JSON array
--   [previous hash, seq, at, kind, subject, actor, address, application, facts]
-- as PostgreSQL prints jsonb; "at" in RFC 3339, UTC, microseconds.

create table if not exists iu_gates.ledger (
    seq bigint not null,
    at timestamptz not null,
    kind text not null,
    subject text not null,
    facts jsonb not null,
    actor text not null,
    address text not null,
    application text not null,
    previous_hash text not null,
    hash text not null,
    constraint ledger_pkey primary key (seq),
    constraint ledger_kind_chk check (kind ~ '^[a-z][a-z_]*$')
);

create index if not exists ledger_kind_subject_idx on iu_gates.ledger (kind, subject, seq);

comment on table iu_gates.ledger is 'The record: every verdict, step, refusal, waiver, drill, proof, approval and disable';
comment on column iu_gates.ledger.seq is 'Place in the chain, from 1, without gaps';
comment on column iu_gates.ledger.at is 'Server clock when the entry was written';
comment on column iu_gates.ledger.kind is 'What happened: step, verdict, void, backup, drill, proof, vote, approval, stop, lift';
comment on column iu_gates.ledger.subject is 'To what: a gate, a revision, a route';
comment on column iu_gates.ledger.facts is 'What was seen, as JSON';
comment on column iu_gates.ledger.actor is 'The login (session_user), never a flag';
comment on column iu_gates.ledger.address is 'Client address, or local';
comment on column iu_gates.ledger.application is 'application_name of the session';
comment on column iu_gates.ledger.previous_hash is 'Hash of the entry before; 64 zeros for the first';
comment on column iu_gates.ledger.hash is 'SHA-256 of this entry and of previous_hash, in hex';

create or replace trigger ledger_append_only
before update or delete or truncate on iu_gates.ledger
for each statement execute function iu_gates.fn_append_only();

create or replace function iu_gates.fn_ledger_hash(p_entry iu_gates.ledger) returns text
language sql immutable
set search_path from current
as $$
    select encode(sha256(convert_to(jsonb_build_array(
        p_entry.previous_hash, p_entry.seq,
        to_char(p_entry.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        p_entry.kind, p_entry.subject, p_entry.actor, p_entry.address, p_entry.application,
        p_entry.facts)::text, 'UTF8')), 'hex')
$$;

comment on function iu_gates.fn_ledger_hash(iu_gates.ledger) is 'The hash that an entry should carry';
revoke execute on function iu_gates.fn_ledger_hash(iu_gates.ledger) from public;

create or replace function iu_gates.fn_ledger_append(p_kind text, p_subject text, p_facts jsonb)
returns bigint
language plpgsql security definer
set search_path from current
as $$
declare
    v_entry iu_gates.ledger;
begin
    perform pg_advisory_xact_lock(18773004, 0);
    select coalesce(max(seq), 0) + 1 into v_entry.seq from iu_gates.ledger;
    select hash into v_entry.previous_hash from iu_gates.ledger where seq = v_entry.seq - 1;
    v_entry.previous_hash := coalesce(v_entry.previous_hash, repeat('0', 64));
    v_entry.at := clock_timestamp();
    v_entry.kind := p_kind;
    v_entry.subject := p_subject;
    v_entry.facts := coalesce(p_facts, '{}');
    v_entry.actor := session_user;
    v_entry.address := coalesce(host(inet_client_addr()), 'local');
    v_entry.application := current_setting('application_name');
    v_entry.hash := iu_gates.fn_ledger_hash(v_entry);
    insert into iu_gates.ledger select v_entry.*;
    return v_entry.seq;
end
$$;

comment on function iu_gates.fn_ledger_append(text, text, jsonb) is 'Write one entry; returns its place in the chain';
revoke execute on function iu_gates.fn_ledger_append(text, text, jsonb) from public;

create or replace function iu_gates.fn_ledger_verify()
returns table (seq bigint, problem text)
language sql stable
set search_path from current
as $$
    select l.seq, p.problem
    from (
        select e as entry, e.seq, e.hash, e.previous_hash,
               coalesce(lag(e.seq) over w, 0) as before_seq,
               coalesce(lag(e.hash) over w, repeat('0', 64)) as before_hash
        from iu_gates.ledger as e
        window w as (order by e.seq)
    ) as l
    cross join lateral (
        values
            (l.hash <> iu_gates.fn_ledger_hash(l.entry), 'the entry was changed'),
            (l.seq <> l.before_seq + 1, format('entries %s to %s are missing', l.before_seq + 1, l.seq - 1)),
            (l.seq = l.before_seq + 1 and l.previous_hash <> l.before_hash,
             'it does not follow the entry before: something was put in, taken out or reordered')
    ) as p (holds, problem)
    where p.holds
    order by l.seq
$$;

comment on function iu_gates.fn_ledger_verify() is 'One row for each entry that is not as it was written; none if the chain holds';
revoke execute on function iu_gates.fn_ledger_verify() from public;
