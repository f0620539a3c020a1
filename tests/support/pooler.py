"""pgbouncer, where a machine has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import make_conninfo

from tests.support.databases import Database
from tests.support.engine import wait_until

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")


@contextmanager
def pooler(database: Database, mode: str = "transaction", size: int = 2) -> Iterator[str]:
    """Run pgbouncer before a database's server, with `size` sessions of its own; give the URL."""
    assert PGBOUNCER is not None
    server = database.server
    # As root it wants another account, and that of the server's own socket can reach it.
    account = server.socket_dir.owner()
    with tempfile.TemporaryDirectory(prefix="iug-pooler-", dir="/tmp") as name:
        directory = Path(name)
        users, ini = directory / "users", directory / "pgbouncer.ini"
        users.write_text('"postgres" ""\n')
        ini.write_text(
            f"[databases]\n* = host={server.socket_dir} port=5432 user=postgres\n"
            f"[pgbouncer]\nlisten_port=6543\nlisten_addr=\nunix_socket_dir={directory}\n"
            f"auth_type=any\nauth_file={users}\npool_mode={mode}\ndefault_pool_size={size}\n"
        )
        for path in (directory, users, ini):
            path.chmod(0o777)
        arguments = ["-u", account] if os.geteuid() == 0 else []
        process = subprocess.Popen([PGBOUNCER, *arguments, str(ini)], stderr=subprocess.PIPE)
        try:
            wait_until((directory / ".s.PGSQL.6543").exists, "pgbouncer listens")
            yield make_conninfo(host=name, port=6543, dbname=database.name, user="postgres")
        finally:
            process.terminate()
            process.communicate()
