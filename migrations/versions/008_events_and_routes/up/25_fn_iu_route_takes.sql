create function fn_iu_route_takes(p_filter jsonb, p_subject text, p_payload jsonb) returns boolean
language sql immutable parallel safe
-- Bound when it is made and without a search_path of its own, so that the planner inlines it. A
-- filter is data, compared with data: no text of it becomes SQL. As a CASE, so that without one the
-- planner does not expect a row or two.
return case
    when p_filter is null then true
    else (p_filter -> 'subject' is null or p_subject = p_filter ->> 'subject')
        and (p_filter -> 'payload' is null or p_payload @> (p_filter -> 'payload'))
end;

comment on function fn_iu_route_takes(jsonb, text, jsonb) is 'True if a route with this filter takes an event of its type';
revoke execute on function fn_iu_route_takes(jsonb, text, jsonb) from public;
