select iu_gates.fn_guard('082');

select fn_iu_route_quota('iu.version_applied.workflow', null);
