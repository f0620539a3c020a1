create function fn_iu_is_late(p_subject text, p_version_seq bigint) returns boolean
language sql volatile
set search_path from current
as $$
    -- A later version has an event, and not one that dry-run has consumed on every route: this
    -- one would come after it. `select … limit 1`, so that it stays a look-up by index. What was
    -- pruned is gone from here, and delivered.
    select (
        select e.event_id from iu_event as e
        join iu_outbound_route as r
            on r.event_type = e.event_type and r.enabled and fn_iu_route_takes(r.event_filter, e.subject, e.payload)
        where e.event_type = 'iu.version_applied' and e.subject = p_subject and e.version_seq > p_version_seq
          and (r.live_from is not null or (
              select a.event_id from iu_route_attempt as a
              where a.route_name = r.route_name and a.event_id = e.event_id and a.status = 'dry_run'
              limit 1) is null)
        limit 1) is not null
        or (
            select p.subject from iu_gates.pruned_event as p
            where p.event_type = 'iu.version_applied' and p.subject = p_subject
              and upper(p.versions) > p_version_seq + 1
            limit 1) is not null
$$;

comment on function fn_iu_is_late(text, bigint)
is 'True if an event made of this version now could only be delivered after a later version of its unit';
revoke execute on function fn_iu_is_late(text, bigint) from public;
