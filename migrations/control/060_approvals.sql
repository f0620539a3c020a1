-- Votes are cast by logins; an approval is granted for a route as it is defined, once enough
-- logins other than the one that asks have voted for the digest. A live route points at its
-- approval with a composite foreign key (revision 100), so an approval is never changed.

create table if not exists iu_gates.vote (
    vote_no bigint generated always as identity,
    digest text not null,
    choice text not null,
    login text not null default session_user,
    note text not null default '',
    voted_at timestamptz not null default clock_timestamp(),
    constraint vote_pkey primary key (vote_no),
    constraint vote_choice_chk check (choice in ('approve', 'reject')),
    constraint vote_digest_chk check (digest ~ '^[0-9a-f]{64}$')
);

create index if not exists vote_digest_idx on iu_gates.vote (digest, login, vote_no);

comment on table iu_gates.vote is 'What each login said about a digest; the last word of a login counts';
comment on column iu_gates.vote.vote_no is 'Number of the vote';
comment on column iu_gates.vote.digest is 'SHA-256 of what is voted on, in hex';
comment on column iu_gates.vote.choice is 'approve or reject';
comment on column iu_gates.vote.login is 'session_user, never a flag';
comment on column iu_gates.vote.note is 'In the voter''s words';
comment on column iu_gates.vote.voted_at is 'Server clock';

create or replace trigger vote_append_only
before update or delete or truncate on iu_gates.vote
for each statement execute function iu_gates.fn_append_only();

create table if not exists iu_gates.approval (
    approval_id bigint generated always as identity,
    route_name text not null,
    definition_hash text not null,
    digest text not null,
    logins text[] not null,
    granted_at timestamptz not null,
    expires_at timestamptz not null,
    constraint approval_pkey primary key (approval_id),
    constraint approval_definition_key
    unique (approval_id, route_name, definition_hash, granted_at, expires_at),
    constraint approval_logins_chk check (cardinality(logins) > 0),
    constraint approval_span_chk check (granted_at < expires_at)
);

comment on table iu_gates.approval is 'Leave to take one route live, as it is defined here, once, before it expires';
comment on column iu_gates.approval.approval_id is 'Number of the approval';
comment on column iu_gates.approval.route_name is 'The route';
comment on column iu_gates.approval.definition_hash is 'Hash of the route''s definition that was approved';
comment on column iu_gates.approval.digest is 'Digest of the package that was voted on';
comment on column iu_gates.approval.logins is 'Who approved';
comment on column iu_gates.approval.granted_at is 'When it was granted';
comment on column iu_gates.approval.expires_at is 'It must be used before';

create or replace trigger approval_append_only
before update or delete or truncate on iu_gates.approval
for each statement execute function iu_gates.fn_append_only();

create or replace function iu_gates.fn_vote(p_digest text, p_choice text, p_note text) returns bigint
language plpgsql security definer
set search_path from current
as $$
declare
    v_vote_no bigint;
begin
    insert into iu_gates.vote (digest, choice, note) values (p_digest, p_choice, p_note)
    returning vote_no into v_vote_no;
    perform iu_gates.fn_ledger_append(
        'vote', p_choice, jsonb_build_object('digest', p_digest, 'vote_no', v_vote_no, 'note', p_note));
    return v_vote_no;
end
$$;

comment on function iu_gates.fn_vote(text, text, text) is 'Cast the vote of this login';
revoke execute on function iu_gates.fn_vote(text, text, text) from public;

create or replace function iu_gates.fn_votes(p_digest text)
returns table (login text, choice text, voted_at timestamptz, note text)
language sql stable security definer
set search_path from current
as $$
    select distinct on (v.login) v.login, v.choice, v.voted_at, v.note
    from iu_gates.vote as v
    where v.digest = p_digest
    order by v.login, v.vote_no desc
$$;

comment on function iu_gates.fn_votes(text) is 'The last word of each login on a digest';
revoke execute on function iu_gates.fn_votes(text) from public;

create or replace function iu_gates.fn_grant_approval(
    p_route text, p_definition_hash text, p_digest text, p_needed integer, p_valid_for interval
)
returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_logins text[];
    v_first timestamptz;
    v_rejected text;
    v_approval_id bigint;
begin
    select v.login into v_rejected from iu_gates.fn_votes(p_digest) as v where v.choice = 'reject' limit 1;
    select array_agg(v.login order by v.login), min(v.voted_at) into v_logins, v_first
    from iu_gates.fn_votes(p_digest) as v
    where v.choice = 'approve' and v.login <> session_user and v.voted_at + p_valid_for > clock_timestamp();
    if v_rejected is not null or coalesce(cardinality(v_logins), 0) < greatest(p_needed, 1) then
        raise exception 'digest % is not approved: % of % logins, rejected by %',
            left(p_digest, 12), coalesce(cardinality(v_logins), 0), greatest(p_needed, 1), coalesce(v_rejected, 'nobody')
            using errcode = 'IUG20', hint = 'iu-gates approve --database-url postgresql://another-login@host/database';
    end if;
    insert into iu_gates.approval (route_name, definition_hash, digest, logins, granted_at, expires_at)
    values (p_route, p_definition_hash, p_digest, v_logins, clock_timestamp(), v_first + p_valid_for)
    returning approval_id into v_approval_id;
    perform iu_gates.fn_ledger_append('approval', p_route, jsonb_build_object(
        'approval_id', v_approval_id, 'digest', p_digest, 'logins', v_logins,
        'expires_at', v_first + p_valid_for));
    return v_approval_id;
end
$$;

comment on function iu_gates.fn_grant_approval(text, text, text, integer, interval)
is 'Turn the votes on a digest into an approval of the route as it is defined now';
revoke execute on function iu_gates.fn_grant_approval(text, text, text, integer, interval) from public;

create or replace function iu_gates.fn_fixture_approval(p_route text, p_definition_hash text) returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_approval_id bigint;
begin
    if not iu_gates.fn_is_scratch() then
        raise exception 'a fixture approval is for scratch databases only' using errcode = 'IUG40';
    end if;
    insert into iu_gates.approval (route_name, definition_hash, digest, logins, granted_at, expires_at)
    values (p_route, p_definition_hash, repeat('0', 64), array['scratch'], now(), 'infinity')
    returning approval_id into v_approval_id;
    return v_approval_id;
end
$$;

comment on function iu_gates.fn_fixture_approval(text, text) is 'An approval for the walks of a scratch database';
revoke execute on function iu_gates.fn_fixture_approval(text, text) from public;

create or replace function iu_gates.fn_usable_approval(p_route text, p_definition_hash text) returns bigint
language plpgsql
set search_path from current
as $$
declare
    v_approval_id bigint;
begin
    if iu_gates.fn_is_scratch() then
        return iu_gates.fn_fixture_approval(p_route, p_definition_hash);
    end if;
    select a.approval_id into v_approval_id from iu_gates.approval as a
    where a.route_name = p_route and a.definition_hash = p_definition_hash and a.expires_at > clock_timestamp()
    order by a.approval_id desc limit 1;
    if not found then
        raise exception 'route "%" has no unexpired approval as it is defined now', p_route
            using errcode = 'IUG20', hint = 'iu-gates status';
    end if;
    return v_approval_id;
end
$$;

comment on function iu_gates.fn_usable_approval(text, text) is 'The newest unexpired approval of the route as it is defined now, or raise';
revoke execute on function iu_gates.fn_usable_approval(text, text) from public;
