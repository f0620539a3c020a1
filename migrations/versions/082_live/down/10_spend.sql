-- The canary's state, spent: nothing more is delivered, what comes is held.

select set_config('iu_gates.switch_by', 'function', true);

update iu_outbound_route set quota = 0 where route_name = 'iu.version_applied.workflow';

select iu_gates.fn_void(array['live'], 'runtime/082 was taken back');
