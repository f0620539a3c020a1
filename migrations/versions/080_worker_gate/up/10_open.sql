select iu_gates.fn_guard('080');

select fn_iu_gate_set('true');
