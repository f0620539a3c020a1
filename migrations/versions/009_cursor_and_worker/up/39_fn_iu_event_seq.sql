create function fn_iu_event_seq() returns bigint
language sql volatile
set search_path from current
as $$ select case when s.is_called then s.last_value else s.last_value - 1 end from iu_event_event_id_seq as s $$;

comment on function fn_iu_event_seq() is 'The last event_id drawn by anybody, committed or not';
revoke execute on function fn_iu_event_seq() from public;
