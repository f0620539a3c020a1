create function fn_iu_idempotency_key(p_route text, p_event_type text, p_subject text, p_version_seq bigint)
returns text
language sql immutable parallel safe
return p_route || ':' || p_event_type || ':' || p_version_seq::text || ':' || p_subject;

comment on function fn_iu_idempotency_key(text, text, text, bigint)
is 'One key for every try of one event on one route; names hold no colon, so no two events share a key';
revoke execute on function fn_iu_idempotency_key(text, text, text, bigint) from public;
