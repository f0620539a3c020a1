select fn_iu_route_dry('iu.version_applied.workflow');

select iu_gates.fn_void(array['canary', 'live'], 'runtime/081 was taken back');
