select iu_gates.fn_guard('100');

select iu_gates.fn_hold_batches();
