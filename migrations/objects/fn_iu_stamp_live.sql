create function fn_iu_stamp_live() returns trigger
language plpgsql
set search_path from current
as $$
begin
    if not new.enabled or new.dry_run then
        new.live_since := null;
    elsif tg_op = 'UPDATE' and old.enabled and not old.dry_run and old.approval_id is not distinct from new.approval_id then
        new.live_since := old.live_since;
    else
        new.live_since := clock_timestamp();
        -- Whoever takes it live: from now on dry-run holds, it does not consume (T29).
        new.live_from := coalesce(old.live_from, new.live_from, new.live_since);
    end if;
    return new;
end
$$;

comment on function fn_iu_stamp_live() is 'Stamp when a route goes live, whatever the statement says';
revoke execute on function fn_iu_stamp_live() from public;
