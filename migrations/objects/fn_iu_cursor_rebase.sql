create function fn_iu_cursor_rebase(p_route text, p_seq bigint, p_xid xid8, p_cluster bigint, p_carry boolean)
returns bigint
language plpgsql volatile
set search_path from current
as $$
declare
    v_old iu_route_cursor := fn_iu_cursor_current(p_route, 'live');
    v_base iu_route_cursor := v_old;
    v_new iu_route_cursor;
    v_carried bigint := 0;
begin
    -- As fn_iu_cursor_open: p_seq was read before p_xid, the own xid, was taken, and no batch is
    -- in hand. What has not been worked through becomes a list; what is not visible in the
    -- snapshot below is late or fresh to it, as in any window.
    select pg_current_snapshot() into v_new.new_snapshot;
    v_new.new_stamp := nextval('iu_route_cursor_cursor_no_seq');
    if v_old.is_carry_over then
        v_base.old_snapshot := v_old.new_snapshot;
        v_base.old_xid := v_old.new_xid;
        v_base.old_seq := v_old.new_seq;
    end if;
    if p_carry then
        insert into iu_route_carry_over (route_name, window_stamp, event_id)
        select p_route, v_new.new_stamp, c.event_id from iu_route_carry_over as c
        where v_old.is_carry_over and c.route_name = p_route and c.window_stamp = v_old.new_stamp
          and c.event_id > v_old.last_event_id;

        -- Of the cursor's cluster: what its snapshots do not show. Of another: what came after
        -- its last window; or all, where this route has never
        -- been before and did not begin later.
        insert into iu_route_carry_over (route_name, window_stamp, event_id)
        select p_route, v_new.new_stamp, e.event_id
        from iu_event as e
        join iu_outbound_route as r
            on r.route_name = p_route and r.event_type = e.event_type
            and fn_iu_route_takes(r.event_filter, e.subject, e.payload)
        where (e.cluster_id <> p_cluster
               or (pg_visible_in_snapshot(e.xact_id, v_new.new_snapshot) and e.xact_id <> p_xid))
          and case
              when e.cluster_id <> v_old.cluster_id
                  then e.event_id > v_base.old_seq or not exists (
                      select from iu_route_cursor as c
                      where c.route_name = p_route
                        and (c.cluster_id = e.cluster_id or c.is_start and e.event_id <= c.old_seq))
              when pg_visible_in_snapshot(e.xact_id, v_base.old_snapshot) and e.xact_id <> v_base.old_xid
                  then false
              when not v_old.is_carry_over and v_old.new_snapshot is not null
                   and pg_visible_in_snapshot(e.xact_id, v_old.new_snapshot) and e.xact_id <> v_old.new_xid
                  then e.event_id > v_old.last_event_id
              else true
          end
        order by e.event_id
        on conflict do nothing;
        select count(*) into v_carried from iu_route_carry_over as c
        where c.route_name = p_route and c.window_stamp = v_new.new_stamp;
    end if;
    insert into iu_route_cursor (
        route_name, kind, cluster_id, old_stamp, old_snapshot, old_xid, old_seq,
        new_stamp, new_snapshot, new_xid, new_seq, new_high, is_carry_over, is_start)
    select p_route, 'delivery', p_cluster, v_new.new_stamp, v_new.new_snapshot, p_xid, p_seq,
           w.stamp, w.snapshot, w.xid, w.seq, w.seq, v_carried > 0, not p_carry
    from (values (1)) as one (row)
    left join (values (v_new.new_stamp, v_new.new_snapshot, p_xid, p_seq)) as w (stamp, snapshot, xid, seq)
    on v_carried > 0;
    return v_carried;
end
$$;

comment on function fn_iu_cursor_rebase(text, bigint, xid8, bigint, boolean)
is 'Begin anew in this cluster; what was not worked through is carried over, or left out. Returns how many events';
revoke execute on function fn_iu_cursor_rebase(text, bigint, xid8, bigint, boolean) from public;
