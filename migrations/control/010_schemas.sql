-- The control schema is the home of the record: ledger, stops, approvals, and alembic_version.
-- Alembic cannot create the home of its own version table, so this is bootstrap, not a lane.
-- Every file of this folder may be run again at any time.

create schema if not exists iu_gates;

comment on schema iu_gates is 'iu-gates: the record (ledger, verdicts, stops, approvals) and the guard';

create schema if not exists :"iu_schema";

comment on schema :"iu_schema" is 'iu-gates: events, routes, attempts, cursors and the functions that move them';
