create trigger iu_outbound_route_stamp_live
before insert or update on iu_outbound_route
for each row execute function fn_iu_stamp_live();
