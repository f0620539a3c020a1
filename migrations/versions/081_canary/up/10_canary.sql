select iu_gates.fn_guard('081');

select fn_iu_route_live(
    r.route_name, 1, iu_gates.fn_usable_approval(r.route_name, r.definition_hash))
from iu_outbound_route as r
where r.route_name = 'iu.version_applied.workflow';
