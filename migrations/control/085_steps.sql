-- What was looked at before a walk is looked at again by each step, in the step's transaction:
-- what has changed since stops it. From 080 on an upgrade also asks the guard (080_guard.sql).

create or replace function iu_gates.fn_require_step(p_revision text, p_direction text) returns void
language plpgsql
set search_path from current
as $$
declare
    v_walk text := nullif(current_setting('iu_gates.walk', true), '');
    v_why text;
begin
    perform iu_gates.fn_require_recorded();
    -- The runtime lane goes down whatever has drifted: that switches off.
    if p_direction = 'up' or p_revision in ('008', '009', '060', '090', '100') then
        perform iu_gates.fn_require_no_drift();
    end if;
    if p_direction = 'up' then
        perform iu_gates.fn_require_no_new_stop();
    end if;
    -- `advance` and `rollback` go under a backup; the plain command may go without one.
    if v_walk is not null and not iu_gates.fn_is_scratch() and (
        p_direction = 'up' and p_revision in ('008', '009', '060')
        or p_direction = 'down' and p_revision in ('008', '009', '060', '090', '100')
    ) then
        v_why := coalesce(iu_gates.fn_not_in_force('backup'), iu_gates.fn_backup_stale(v_walk));
    end if;
    if v_why is not null then
        raise exception 'revision % is not %: gate "backup": %',
            p_revision, case p_direction when 'up' then 'applied' else 'undone' end, v_why
            using errcode = 'IUG20', hint = 'iu-gates status';
    end if;
end
$$;

comment on function iu_gates.fn_require_step(text, text)
is 'Raise, in a step''s transaction, if what was looked at before the walk has changed since';
revoke execute on function iu_gates.fn_require_step(text, text) from public;
