select v.login, v.choice, v.voted_at, v.note, v.login = session_user as is_me
from iu_gates.fn_votes(%(digest)s) as v
order by v.voted_at
