create function fn_iu_bell_arm(p_until bigint, out until bigint, out fence xid8)
language plpgsql volatile security definer
set search_path from current
as $$
declare
    v_now bigint;
begin
    -- A transaction that has notified cannot be prepared: where 2PC is on there is no bell.
    if current_setting('max_prepared_transactions')::integer > 0 then
        return;
    end if;
    -- One at a time: what was promised to another worker is never cut short.
    perform pg_advisory_xact_lock(18773007, 0);
    v_now := extract(epoch from clock_timestamp()) * 1000;
    until := greatest(v_now + 2000, coalesce(pg_sequence_last_value('iu_bell'), 1) + 1);
    perform setval('iu_bell', until);
    if p_until is null or p_until <= v_now then
        -- Whoever read the bell before this line has an id below this one.
        fence := pg_current_xact_id();
    end if;
end
$$;

comment on function fn_iu_bell_arm(bigint)
is 'Let captures ring for 2 s; a fence if they did not have to all along: transactions below it may not have seen it';
revoke execute on function fn_iu_bell_arm(bigint) from public;
