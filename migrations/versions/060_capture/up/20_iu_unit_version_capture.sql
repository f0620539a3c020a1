-- A row trigger: logical apply fires those only. ALWAYS, so that a subscription's rows are
-- captured too (T1).

create trigger iu_unit_version_capture
after insert on :"iu_host_schema".:"iu_unit_table"
for each row when (new.:"iu_version_column" > 1)
execute function fn_iu_capture();

alter table :"iu_host_schema".:"iu_unit_table" enable always trigger iu_unit_version_capture;

insert into iu_gates.capture_span (began_snapshot) values (pg_current_snapshot());
