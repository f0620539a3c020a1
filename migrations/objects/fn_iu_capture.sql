create function fn_iu_capture() returns trigger
language plpgsql security definer
set search_path from current
as $$
begin
    if coalesce(current_setting('iu_gates.cluster', true), '') = '' then
        perform fn_iu_cluster_id();
    end if;
    -- What was captured, delivered and pruned is not captured again, wherever its row comes from.
    -- Two steps: a query would open its tables, whether it needs them or not.
    if pg_sequence_last_value('iu_gates.prune_prune_no_seq') is not null then
        if exists (
            select from iu_gates.pruned_event as p
            where p.event_type = 'iu.version_applied' and p.subject = new.:"iu_unit_column"::text
              and p.versions @> new.:"iu_version_column"::bigint
        ) then
            return null;
        end if;
    end if;
    -- After the host's row: its transaction has an xid before the event draws its event_id (T6).
    insert into iu_event (cluster_id, event_type, subject, version_seq, payload)
    values (current_setting('iu_gates.cluster')::bigint, 'iu.version_applied',
            new.:"iu_unit_column"::text, new.:"iu_version_column",
            jsonb_build_object('unit', new.:"iu_unit_column", 'version_seq', new.:"iu_version_column"));
    -- A worker asleep is rung for; one that is awake costs this look (T5). Two steps: the second is
    -- not even made ready where the first says no, and an AND with null would have asked the clock.
    if pg_sequence_last_value('iu_bell') > 1 then
        if pg_sequence_last_value('iu_bell') > extract(epoch from clock_timestamp()) * 1000 then
            perform pg_notify('iu_gates_bell', '');
        end if;
    end if;
    return null;
end
$$;

comment on function fn_iu_capture() is 'Capture an applied change, in the transaction of the change';
revoke execute on function fn_iu_capture() from public;
