-- After all else: what this bootstrap leaves is what drift is measured against. What a DBA has
-- granted of the rights that rights.sql asks for is recorded after it: that is no drift.

select iu_gates.fn_record_bootstrap();

select iu_gates.fn_record_rights();
