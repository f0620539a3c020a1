create function fn_iu_cloud_event(p_event iu_event, p_route text, p_key text) returns jsonb
language sql stable
-- Bound when it is made, so it needs no search_path of its own, which would keep the planner from
-- inlining it: a call for each event was a sixth of a batch.
return jsonb_build_object(
    'specversion', '1.0',
    'id', p_key,
    'source', '/iu-gates/routes/' || p_route,
    'type', p_event.event_type,
    'subject', p_event.subject,
    'time', to_char(p_event.captured_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'datacontenttype', 'application/json',
    'data', p_event.payload);

comment on function fn_iu_cloud_event(iu_event, text, text) is 'The event as receivers see it: CloudEvents 1.0, JSON';
revoke execute on function fn_iu_cloud_event(iu_event, text, text) from public;
