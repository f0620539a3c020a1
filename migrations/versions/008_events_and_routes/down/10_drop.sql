select iu_gates.fn_refuse_history('008');

drop table iu_route_parked;

drop table iu_route_redrive;

drop table iu_route_dead_letter;

drop table iu_route_attempt;

drop table iu_outbound_route;

drop function fn_iu_route_takes(jsonb, text, jsonb);

drop function fn_iu_route_definition(text, text, text, text, text, jsonb);

drop table iu_event;
