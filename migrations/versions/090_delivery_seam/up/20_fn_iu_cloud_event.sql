create function fn_iu_cloud_event(p_event iu_event, p_route text, p_key text) returns jsonb
language sql stable
-- Bound when it is made, so it needs no search_path of its own, which would keep the planner from
-- inlining it: a call for each event was a sixth of a batch.
-- Texts first, then the one member that is none: jsonb_build_object asks the catalog for the type of each
-- of its arguments, for each event, which was an eighth of a batch.
return jsonb_set(
    jsonb_object(
        array['id', 'data', 'time', 'type', 'source', 'subject', 'specversion', 'datacontenttype'],
        array[p_key, null, to_char(p_event.captured_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
              p_event.event_type, '/iu-gates/routes/' || p_route, p_event.subject, '1.0', 'application/json']),
    '{data}', p_event.payload);

comment on function fn_iu_cloud_event(iu_event, text, text) is 'The event as receivers see it: CloudEvents 1.0, JSON';
revoke execute on function fn_iu_cloud_event(iu_event, text, text) from public;
