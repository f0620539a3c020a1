select iu_gates.fn_hold_batches();
