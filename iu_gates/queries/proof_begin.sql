begin;
set local lock_timeout = '100ms';
set local statement_timeout = '1s';
set local search_path = :"schema", pg_temp;
select pg_advisory_xact_lock(18773001, 0)
