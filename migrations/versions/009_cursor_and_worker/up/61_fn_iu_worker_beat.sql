create function fn_iu_worker_beat(
    p_worker_id text, p_invocation text, p_host_name text, p_process_id integer, p_version text, p_state text
)
returns void
language sql security definer
set search_path from current
as $$
    delete from iu_worker_heartbeat as h where h.seen_at < clock_timestamp() - interval '1 day';

    select fn_iu_cursor_prune();

    insert into iu_worker_heartbeat as h (worker_id, invocation, host_name, process_id, version, last_state)
    values (p_worker_id, p_invocation, p_host_name, p_process_id, p_version, p_state)
    on conflict (worker_id) do update set
        invocation = excluded.invocation, host_name = excluded.host_name, process_id = excluded.process_id,
        version = excluded.version, last_state = excluded.last_state, seen_at = clock_timestamp()
$$;

comment on function fn_iu_worker_beat(text, text, text, integer, text, text) is 'Say that a worker is there';
revoke execute on function fn_iu_worker_beat(text, text, text, integer, text, text) from public;
