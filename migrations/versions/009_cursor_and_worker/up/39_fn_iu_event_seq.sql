create function fn_iu_event_seq() returns bigint
language plpgsql volatile
set search_path from current
as $$
begin
    -- A function call and no query, as each poll asks it; null as long as nothing was drawn.
    return coalesce(pg_sequence_last_value('iu_event_event_id_seq'), 0);
end
$$;

comment on function fn_iu_event_seq() is 'The last event_id drawn by anybody, committed or not';
revoke execute on function fn_iu_event_seq() from public;
