select fn_iu_gate_set('false');

select iu_gates.fn_void(array['canary', 'live'], 'runtime/080 was taken back');
