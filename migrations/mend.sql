-- Run each statement that rights.sql asks for and that this login may run. What it may not is
-- left to the DBA: `iu-gates doctor` prints it.
do $iu_mend$
declare
    v_statement text;
begin
    for v_statement in execute $iu_rights$
        select r.statement from (
:iu_rights
        ) as r
    $iu_rights$ loop
        begin
            execute v_statement;
        exception
            when insufficient_privilege or undefined_object or invalid_schema_name or undefined_table
                 or duplicate_object or duplicate_schema or unique_violation then
                -- Not ours to do, or not without a role that could not be made, or done meanwhile.
                null;
        end;
    end loop;
end
$iu_mend$;
