-- One batch. Looked at again: the host has gone on since they were found.
with made as (
    insert into :"iu_schema".iu_event (cluster_id, event_type, subject, version_seq, payload)
    select :"iu_schema".fn_iu_cluster_id(), 'iu.version_applied', b.subject, b.version_seq,
           jsonb_build_object('unit', b.unit, 'version_seq', b.version_seq)
    from pg_temp.iu_backfill as b
    where b.n > %(after)s and b.n <= %(after)s + %(limit)s
      and (%(late)s or not :"iu_schema".fn_iu_is_late(b.subject, b.version_seq))
      and exists (select from :"host" as u where u.:"unit" = b.unit and u.:"version" = b.version_seq)
    order by b.n
    on conflict (event_type, subject, version_seq) do nothing
    returning event_id
)

select count(*) as captured from made
