select fn_iu_gate_set('false');

select set_config('iu_gates.switch_by', 'function', true);

-- Else a further route would deliver as soon as the gate is open again, before any gate of its own.
update iu_outbound_route set dry_run = true where not dry_run;

select iu_gates.fn_void(array['canary', 'live', '*/canary', '*/live'], 'runtime/080 was taken back');
