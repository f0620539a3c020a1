create function fn_iu_switch_barrier() returns trigger
language plpgsql
set search_path from current
as $$
begin
    -- By hand: wait until no batch is in hand, and let none begin until commit. Our own
    -- functions say that they have done what is needed (T25). A statement trigger, because a
    -- row trigger fires after the row is locked, against the order of the keys.
    if coalesce(current_setting('iu_gates.switch_by', true), '') <> 'function' then
        perform pg_advisory_xact_lock(18773001, 0);
    end if;
    return null;
end
$$;

comment on function fn_iu_switch_barrier() is 'Give an UPDATE of a switch by hand the barrier of disable';
revoke execute on function fn_iu_switch_barrier() from public;
