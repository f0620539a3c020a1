select set_config('iu_gates.switch_by', 'function', true);
insert into iu_gates.approval (route_name, definition_hash, digest, logins, granted_at, expires_at)
select r.route_name, r.definition_hash, repeat('0', 64), array['proof'], now(), now() + interval '1 minute'
from iu_outbound_route as r where r.route_name = :"route";
update iu_outbound_route as r set
    enabled = true, dry_run = false, quota = null, max_tries = 1,
    approval_id = a.approval_id, approval_granted_at = a.granted_at, approval_expires_at = a.expires_at
from iu_gates.approval as a
where r.route_name = :"route" and a.route_name = r.route_name
  and a.approval_id = (select max(b.approval_id) from iu_gates.approval as b);
set constraints all immediate;
-- Where the route asks for another type or has a filter, an event that it takes is made of the host's.
insert into iu_event (cluster_id, event_type, subject, version_seq, payload)
select e.cluster_id, r.event_type, s.subject,
       greatest(e.version_seq, coalesce((
           select max(o.version_seq) + 1 from iu_event as o
           where o.event_type = r.event_type and o.subject = s.subject), 0)),
       e.payload || coalesce(r.event_filter -> 'payload', '{}')
from iu_event as e
join iu_outbound_route as r on r.route_name = :"route"
cross join lateral (select coalesce(r.event_filter ->> 'subject', e.subject) as subject) as s
where e.xact_id = pg_current_xact_id()
  and not (e.event_type = r.event_type and fn_iu_route_takes(r.event_filter, e.subject, e.payload));
create temporary table iu_proof on commit drop as
select e.event_id, e.event_type, e.subject, e.payload,
       fn_iu_idempotency_key(:"route", e.event_type, e.subject, e.version_seq) as idempotency_key,
       null::integer as first_sent, null::integer as second_sent, null::integer as second_duplicates,
       null::bigint as in_target
from iu_event as e
join iu_outbound_route as r on r.route_name = :"route" and r.event_type = e.event_type
where e.xact_id = pg_current_xact_id() and fn_iu_route_takes(r.event_filter, e.subject, e.payload);
update iu_proof as p set first_sent = (
    select a.sent
    from fn_iu_route_attempt(:"route", (select array_agg(q.event_id order by q.event_id) from iu_proof as q)) as a
    );
update iu_proof as p set in_target = (
    select count(*) from :"outbox" as o where o.:"key" = p.idempotency_key);
update iu_proof as p set (second_sent, second_duplicates) = (
    select a.sent, a.duplicates
    from fn_iu_route_attempt(:"route", (select array_agg(q.event_id order by q.event_id) from iu_proof as q)) as a)
-- A channel has no keys: what it were told twice, it would have heard twice.
where exists (select from iu_outbound_route as r where r.route_name = :"route" and r.target_kind <> 'notify');
select jsonb_build_object(
    'target_kind', (select r.target_kind from iu_outbound_route as r where r.route_name = :"route"),
    'definition_hash', (select r.definition_hash from iu_outbound_route as r where r.route_name = :"route"),
    'captured', (select count(*) from iu_proof),
    'resolved', (select count(*) from iu_proof as p
                 cross join lateral fn_iu_route_resolve(p.event_type, p.subject, p.payload) as r
                 where r.route_name = :"route"),
    'first_sent', (select max(p.first_sent) from iu_proof as p),
    'first_status', (select a.status from iu_route_attempt as a join iu_proof as p on p.event_id = a.event_id
                     where a.route_name = :"route" order by a.attempt_id limit 1),
    'delivered', (select a.delivered from iu_route_attempt as a join iu_proof as p on p.event_id = a.event_id
                  where a.route_name = :"route" order by a.attempt_id limit 1),
    'in_target', (select sum(p.in_target) from iu_proof as p),
    'second_sent', (select max(p.second_sent) from iu_proof as p),
    'second_duplicates', (select max(p.second_duplicates) from iu_proof as p),
    'in_target_after', (select count(*) from iu_proof as p join :"outbox" as o on o.:"key" = p.idempotency_key),
    'dead_letter', (
        select concat_ws(': ', d.reason, (select a.message from iu_route_attempt as a
                                          where a.event_id = d.event_id and a.message is not null
                                          order by a.attempt_id limit 1))
        from iu_route_dead_letter as d join iu_proof as p on p.event_id = d.event_id limit 1),
    'dead_letters', (select count(*) from iu_route_dead_letter as d join iu_proof as p on p.event_id = d.event_id)
) as proof;
rollback
