-- Until when (server clock, in ms since 1970) a transaction that captures an event has to ring.
-- A sequence, because its value is no matter of snapshots: whoever reads it reads what stands
-- there now. Unlogged, so that arming it costs no WAL; after a crash nobody sleeps.

create unlogged sequence iu_bell;

comment on sequence iu_bell is 'Until when a capture has to wake the workers, in ms since 1970';
