select r.route_name, r.route_no, r.event_type, r.event_filter, r.target_kind, r.target_ref, r.enabled, r.dry_run,
       r.quota, r.live_from, r.definition_hash, r.on_dead_letter
from :"iu_schema".iu_outbound_route as r
order by r.route_name
