-- To the end of this transaction: whoever owns our schema owns what a step makes, and has the
-- rights that it needs, no more. session_user stays the login, and so does the ledger's actor.

select set_config('role', pg_get_userbyid(n.nspowner), true)
from pg_namespace as n
where n.nspname = 'iu_gates' and pg_get_userbyid(n.nspowner) <> current_user;
