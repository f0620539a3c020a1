create function fn_iu_capture() returns trigger
language plpgsql security definer
set search_path from current
as $$
begin
    -- After the host's row: its transaction has an xid before the event draws its event_id (T6).
    insert into iu_event (cluster_id, event_type, subject, version_seq, payload)
    values (fn_iu_cluster_id(), 'iu.version_applied', new.:"iu_unit_column"::text, new.:"iu_version_column",
            jsonb_build_object('unit', new.:"iu_unit_column", 'version_seq', new.:"iu_version_column"));
    return null;
end
$$;

comment on function fn_iu_capture() is 'Capture an applied change, in the transaction of the change';
revoke execute on function fn_iu_capture() from public;
