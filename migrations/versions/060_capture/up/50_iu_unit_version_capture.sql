-- A row trigger: logical apply fires those only. ALWAYS, so that a subscription's rows are
-- captured too (T1). Only the host table's owner may say that; where our owner is not, a
-- function of that owner does (migrations/rights.sql).
--
-- Last of this revision, so that the host's table is locked for no other work, and with the
-- ledger's key in hand, so that while it is locked this step waits for nobody (T38).

select pg_advisory_xact_lock(18773004, 0);

create trigger iu_unit_version_capture
after insert on :"iu_host_schema".:"iu_unit_table"
for each row when (new.:"iu_version_column" > 1)
execute function fn_iu_capture();

do $$
begin
    if to_regprocedure('iu_gates.fn_capture_always()') is not null then
        perform iu_gates.fn_capture_always();
    else
        alter table :"iu_host_schema".:"iu_unit_table" enable always trigger iu_unit_version_capture;
    end if;
end
$$;

insert into iu_gates.capture_span (began_snapshot) values (pg_current_snapshot());
