comment on schema iu_gates is 'iu-gates: the record (ledger, verdicts, stops, approvals) and the guard';

do $$
begin
    comment on schema :"iu_schema" is 'iu-gates: events, routes, attempts, cursors and the functions that move them';
exception when insufficient_privilege then
    -- Where ours stand among the host's, the schema is the host's to speak of.
    null;
end
$$;
