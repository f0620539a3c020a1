-- The control schema is the home of the record: ledger, stops, approvals, and alembic_version.
-- Alembic cannot create the home of its own version table, so this is bootstrap, not a lane.
-- Every file of this folder may be run again at any time. Where rights.sql has made the
-- schemas, iu_gates_owner owns them; else this login does.

do $$
begin
    if to_regnamespace('iu_gates') is null then
        create schema iu_gates;
    end if;
    if to_regnamespace(quote_ident(:'iu_schema')) is null then
        create schema :"iu_schema";
    end if;
end
$$;
