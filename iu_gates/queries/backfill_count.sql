-- What was found, and what of it could only be delivered out of order.
select (select count(*) from :"host" as u where u.:"version" > 1) as examined,
       count(*) as missing,
       count(*) filter (where b.is_late) as late,
       (array_agg(b.name order by b.n) filter (where not b.is_late))[1:10] as examples,
       (array_agg(b.name order by b.n) filter (where b.is_late))[1:10] as late_examples
from (
    select f.n, f.subject || ' version ' || f.version_seq as name,
           :"iu_schema".fn_iu_is_late(f.subject, f.version_seq) as is_late
    from pg_temp.iu_backfill as f
) as b
