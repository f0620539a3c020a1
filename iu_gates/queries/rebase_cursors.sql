-- Routes whose newest cursor belongs to another cluster than this.
select count(*) as foreign_cursors
from (
    select distinct on (c.route_name) c.cluster_id
    from :"iu_schema".iu_route_cursor as c
    where c.kind = 'delivery'
    order by c.route_name, c.cursor_no desc
) as c
cross join pg_control_system() as s
where c.cluster_id <> s.system_identifier
