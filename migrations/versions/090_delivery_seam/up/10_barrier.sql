select iu_gates.fn_guard('090');

-- CREATE OR REPLACE would land inside a running batch (T37).
select iu_gates.fn_hold_batches();
