create function fn_iu_deliver_workflow(p_route text, p_event_ids bigint[])
returns table (event_id bigint, status text, message text, idempotency_key text)
language plpgsql
set search_path from current
set lock_timeout = '5s'
as $$
declare
    v_key_index text;
begin
    -- Plain first, because ON CONFLICT on every row costs a third; the conflict form only after
    -- a violation of the key's own index (T16). Both wait for a transaction of the host that
    -- holds the same key, but not for ever: the barrier of disable waits for this batch.
    begin
        return query
        with event as materialized (
            select e.event_id, e.event_type, e.subject, k.idempotency_key,
                   cast(:iu_content as :iu_payload_type) as content
            from iu_event as e
            cross join lateral (values (
                fn_iu_idempotency_key(p_route, e.event_type, e.subject, e.version_seq))) as k (idempotency_key)
            -- In a subquery, so that the planner does not see how few they are: it would plan anew for
            -- each small batch.
            where e.event_id = any (array(select u.event_id from unnest(p_event_ids) as u (event_id)))
            order by e.event_id
        ),
        written as (
            insert into :"iu_host_schema".:"iu_outbox_table" (
                :"iu_key_column", :"iu_payload_column" :iu_extra_columns)
            select e.idempotency_key, e.content :iu_extra_values from event as e order by e.event_id
            returning 1
        )
        -- Nothing is handed out before all is written: an exception does not take that back. (One of an
        -- AFTER trigger comes later; it counts as ours only under the key's own index, and comes again.)
        select e.event_id, 'sent'::text, null::text, e.idempotency_key
        from event as e cross join (select count(*) as rows from written) as w;
        return;
    exception when unique_violation then
        get stacked diagnostics v_key_index = constraint_name;
        -- On a partitioned outbox it is the index of a partition.
        if v_key_index is distinct from :'iu_key_index' and not exists (
            select from pg_partition_tree(format('%I.%I', :'iu_host_schema', :'iu_key_index')::regclass) as t
            join pg_class as x on x.oid = t.relid and x.relname = v_key_index
        ) then
            raise;
        end if;
    end;
    return query select d.event_id, d.status, d.message, d.idempotency_key
                 from fn_iu_deliver_workflow_again(p_route, p_event_ids) as d;
end
$$;

comment on function fn_iu_deliver_workflow(text, bigint[]) is
'Write events into the host''s outbox, each once, in event_id order';
revoke execute on function fn_iu_deliver_workflow(text, bigint[]) from public;
