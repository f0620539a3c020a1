create function fn_iu_bell_still(p_until bigint) returns void
language plpgsql volatile security definer
set search_path from current
as $$
begin
    -- Only the last to arm it: who armed it before heard the same ring, who armed it since sleeps.
    perform pg_advisory_xact_lock(18773007, 0);
    if pg_sequence_last_value('iu_bell') = p_until then
        perform setval('iu_bell', 1);
    end if;
end
$$;

comment on function fn_iu_bell_still(bigint) is 'After a ring: captures need not ring any more';
revoke execute on function fn_iu_bell_still(bigint) from public;
