-- The ledger: append-only and hash-chained. One writer at a time, by an advisory key that is
-- held to the end of the transaction, so that a step and its entry are one transaction.
--
-- Nothing is changed or removed, `session_replication_role = replica` included (enable always);
-- nothing is put in but by fn_ledger_append (fn_ledger_follow). A subscriber of logical
-- replication still gets the entries: the second trigger does not fire for what is applied.
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
comment on column iu_gates.ledger.kind is 'What happened, in one word; docs/ledger.md lists them';
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
alter table iu_gates.ledger enable always trigger ledger_append_only;

do $$
declare
    v_grantee text;
begin
    -- What a site's ALTER DEFAULT PRIVILEGES gave away when the table was made.
    for v_grantee in
        select distinct coalesce(quote_ident(r.rolname), 'public')
        from pg_class as c
        cross join lateral (
            select a.* from aclexplode(c.relacl) as a
            union all
            select a.* from pg_attribute as t, aclexplode(t.attacl) as a where t.attrelid = c.oid) as g
        left join pg_roles as r on r.oid = g.grantee
        where c.oid = 'iu_gates.ledger'::regclass and g.grantee <> c.relowner and g.privilege_type <> 'SELECT'
    loop
        execute 'revoke insert, update, delete, truncate, references, trigger on iu_gates.ledger from '
                || v_grantee || ' cascade';
    end loop;
end
$$;

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

create or replace function iu_gates.fn_ledger_follow() returns trigger
language plpgsql
set search_path from current
as $$
declare
    v_owner oid;
    v_head iu_gates.ledger;
begin
    select p.proowner into v_owner from pg_proc as p
    where p.oid = 'iu_gates.fn_ledger_append(text, text, jsonb)'::regprocedure;
    if current_user <> pg_get_userbyid(v_owner) then
        raise exception 'an entry of the ledger is written by iu_gates.fn_ledger_append alone' using errcode = 'IUG40';
    end if;
    select l.* into v_head from iu_gates.ledger as l order by l.seq desc limit 1;
    if (new.seq, new.previous_hash, new.actor, new.hash) is distinct from (
        coalesce(v_head.seq, 0) + 1, coalesce(v_head.hash, repeat('0', 64)),
        session_user::text, iu_gates.fn_ledger_hash(new)
    ) then
        raise exception 'entry % of the ledger does not follow entry %', new.seq, coalesce(v_head.seq, 0)
            using errcode = 'IUG40',
                  hint = 'entries are written by iu_gates.fn_ledger_append, and restored with pg_restore --disable-triggers';
    end if;
    return new;
end
$$;

comment on function iu_gates.fn_ledger_follow()
is 'Refuse an entry that fn_ledger_append did not write: not its owner, or not the next of the chain';
revoke execute on function iu_gates.fn_ledger_follow() from public;

create or replace trigger ledger_follow
before insert on iu_gates.ledger
for each row execute function iu_gates.fn_ledger_follow();

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
            (l.hash is distinct from iu_gates.fn_ledger_hash(l.entry), 'the entry was changed'),
            (l.seq > l.before_seq + 1, case
                when l.seq = l.before_seq + 2 then format('entry %s is missing', l.seq - 1)
                else format('entries %s to %s are missing', l.before_seq + 1, l.seq - 1) end),
            (l.seq <= l.before_seq, 'it was put in: its number is taken or is none'),
            (l.seq = l.before_seq + 1 and l.previous_hash is distinct from l.before_hash,
             case when l.seq = 1 then 'it does not begin a chain: entries before it were taken out'
                 else format('it does not follow entry %s: one of the two was put in, moved or written anew',
                             l.before_seq) end)
    ) as p (holds, problem)
    where p.holds
    order by l.seq
$$;

comment on function iu_gates.fn_ledger_verify() is 'One row for each entry that is not as it was written; none if the chain holds';
revoke execute on function iu_gates.fn_ledger_verify() from public;
