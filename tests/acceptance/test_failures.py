"""Every way in which a step can fail, provoked by the command line: docs/failures.md."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
import pytest

from iu_gates.embedded import Server
from tests.acceptance.site import Site, open_site
from tests.support.cli import SECONDS, Answer, make_environment, poll, run_command
from tests.support.command import take_catalog
from tests.support.failures import assert_as_told
from tests.support.tools import require_tool
from tests.support.walk import ROOT

pytestmark = pytest.mark.long_on_each_major

VICTIM: Final = ROOT / "scripts" / "torture" / "victim.py"
RECORDS_060: Final = "fn_record_step('060'"
STATEMENTS_060: Final = 9
"""Of the step before it is recorded: names, functions, trigger, rows, Alembic's own."""
PGBOUNCER: Final = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
POOLER: Final = """
[databases]
{name} = host={socket_dir} port=5432 user={user}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {socket_dir}
auth_type = any
auth_file = {users}
pool_mode = transaction
ignore_startup_parameters = extra_float_digits
"""
POOLER_PORT: Final = 6543


def run_python(
    site: Site, *program: str | Path, prepare: Callable[[], None] = lambda: None
) -> Answer:
    """Run a Python program as the operator would run the command; `prepare` runs in its process."""
    done = subprocess.run(
        [sys.executable, *map(str, program)],
        cwd=site.folder,
        env=make_environment(site.folder, **site._told("", {})),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        preexec_fn=prepare,
    )
    return Answer(tuple(map(str, program)), done.returncode, done.stdout, done.stderr)


def strike(site: Site, target: str, at: str, when: str, *line: str) -> tuple[Answer, str]:
    """Run a command that is hit at a statement; return its answer, and what was hit."""
    mark = site.folder / "mark"
    mark.unlink(missing_ok=True)
    postmaster = str(site.database.server.pid)
    answer = run_python(site, VICTIM, target, at, when, postmaster, mark, *line)
    return answer, mark.read_text("utf-8") if mark.exists() else ""


def reach_060(site: Site) -> None:
    """Walk to where revision 060, with the trigger on the host's table, is the next step."""
    site.configure(limits='lock_wait = "1 s"')
    site.run("advance", "--to", "backup").expect(0)
    strike(site, "client", RECORDS_060, "before", "advance")
    assert site.list_heads() == ["009"]


@contextmanager
def nothing_applied(site: Site) -> Iterator[None]:
    """Fail if the block moves a revision or the catalog."""
    heads, catalog = site.list_heads(), take_catalog(site.database.conninfo)
    yield
    assert site.list_heads() == heads
    assert catalog.diff(take_catalog(site.database.conninfo)) == []


def assert_goes_on(site: Site) -> None:
    """The same command ends with 0, and the ledger holds."""
    site.run("advance", "--to", "substrate").expect(0)
    site.run("ledger", "verify").expect(0)
    assert site.list_heads() == ["060"]


@pytest.mark.long
def test_disk_full_in_the_dump(site: Site) -> None:
    """
    A file that cannot grow ends the dump; nothing is left that looks like a backup.
    """
    site.configure()
    site.run("advance").expect(0)
    size = (4096, 4096)
    full = partial(resource.setrlimit, resource.RLIMIT_FSIZE, size)
    answer = run_python(site, "-m", "iu_gates", "advance", prepare=full)
    assert_as_told("disk full in the dump", answer)
    assert not list((site.folder / "backups").glob("*"))
    assert_goes_on(site)


def test_lock_held_by_somebody(site: Site) -> None:
    """
    A step that cannot have its lock names who holds it, and leaves what was there.
    """
    reach_060(site)
    with psycopg.connect(site.database.conninfo_as(site.host), application_name="the host") as host:
        host.execute("lock table cms.unit_version in row exclusive mode")
        with nothing_applied(site):
            answer = site.run("advance")
    assert_as_told("lock held by somebody", answer)
    assert "the host" in answer.err
    assert_goes_on(site)


@pytest.mark.long
def test_connection_cut_in_a_step(site: Site) -> None:
    """
    A session that is ended in the middle of a step takes the step back with it.
    """
    reach_060(site)
    with nothing_applied(site):
        answer, mark = strike(site, "session", RECORDS_060, "before", "advance")
    assert "060" in mark
    assert_as_told("connection cut", answer)
    assert_goes_on(site)


@pytest.mark.long
@pytest.mark.slow
def test_server_killed_in_a_step(own_server: Server, tmp_path: Path) -> None:
    """
    A server that is killed in the middle of a step comes back without the step.
    """
    with open_site(own_server, tmp_path / "folder") as site:
        reach_060(site)
        answer, mark = strike(site, "server", RECORDS_060, "before", "advance")
        down = site.run("advance")
        own_server.start()
        assert "060" in mark
        assert_as_told("server killed", answer)
        assert_as_told("server down", down)
        assert site.list_heads() == ["009"]
        assert_goes_on(site)


@pytest.mark.long
@pytest.mark.slow
def test_client_killed_at_each_statement(site: Site) -> None:
    """
    P8: killed before each statement of a step, or after its COMMIT, `advance` goes on from there.
    """
    reach_060(site)
    before = take_catalog(site.database.conninfo)
    _, last = strike(site, "client", RECORDS_060, "before", "advance")
    number = int(last.split("statement ")[1].split(":")[0])
    struck = []
    for at in range(number - STATEMENTS_060, number + 2):
        answer, mark = strike(site, "client", str(at), "before", "advance")
        assert answer.code == -signal.SIGKILL
        struck.append(mark)
        assert site.list_heads() == ["009"]
        assert before.diff(take_catalog(site.database.conninfo)) == []
    for part in ("create trigger", "alembic_version", "fn_record_step", "commit"):
        assert any(part in mark for mark in struck), struck
    strike(site, "client", str(number + 1), "after", "advance")
    assert site.list_heads() == ["060"]
    assert_goes_on(site)
    steps = "select count(*) from iu_gates.ledger where kind = 'step' and subject = '060'"
    assert site.fetch_value(steps) == 1


@pytest.mark.long
def test_clock_that_jumped_back(site: Site) -> None:
    """
    A backup from the future does not count: another is taken before the next step.
    """
    site.configure()
    site.run("advance", "--to", "backup").expect(0)
    (manifest,) = (site.folder / "backups").glob("*.json")
    told = json.loads(manifest.read_text("utf-8"))
    told["snapshot_at"] = "2099-01-01T00:00:00+00:00"
    manifest.write_text(json.dumps(told), "utf-8")
    answer = site.run("advance")
    assert_as_told("clock jumped back", answer)
    assert "took " in answer.out


@pytest.mark.long
def test_clock_that_jumped_ahead(site: Site) -> None:
    """
    A backup that ran out between two calls is taken anew before the next step.
    """
    site.configure(limits='backup_max_age = "1 s"')
    site.run("advance").expect(0)
    site.run("advance").expect(0)
    late = "select clock_timestamp() > max(at) + interval '1.1 s' from iu_gates.ledger"
    poll(lambda: bool(site.fetch_value(late)), "the backup is too old")
    site.configure()
    answer = site.run("advance")
    assert_as_told("clock jumped ahead", answer)
    assert "took " in answer.out


@pytest.mark.long
def test_pgbouncer_in_transaction_mode(site: Site) -> None:
    """
    Through a pooler that hands sessions round nothing is walked; reading and `disable` work.
    """
    require_tool("pgbouncer", there=PGBOUNCER is not None)
    site.configure()
    site.run("advance", "--to", "substrate").expect(0)
    with pooler(site) as url, nothing_applied(site):
        to_pooler = ("--database-url", url)
        answer = run_command(site.folder, "advance", *to_pooler)
        assert_as_told("pgbouncer in transaction mode", answer)
        run_command(site.folder, "status", *to_pooler).expect(0)
        run_command(site.folder, "disable", *to_pooler).expect(0)
    site.run("advance").expect(3)


@contextmanager
def pooler(site: Site) -> Iterator[str]:
    """Give a URL of the operator through a pgbouncer of its own."""
    server = site.database.server
    users, settings = (server.socket_dir / name for name in ("users", "pgbouncer.ini"))
    told = {"name": site.database.name, "user": site.operator, "port": POOLER_PORT}
    users.write_text(f'"{site.operator}" ""\n', "utf-8")
    settings.write_text(POOLER.format(socket_dir=server.socket_dir, users=users, **told), "utf-8")
    for path in (users, settings):
        path.chmod(0o644)
    socket = server.socket_dir / f".s.PGSQL.{POOLER_PORT}"
    # As root it wants another account, and that of the server's own socket can reach it.
    account = ["-u", server.socket_dir.owner()] if os.geteuid() == 0 else []
    command = [str(PGBOUNCER), *account, str(settings)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            poll(socket.exists, "pgbouncer listens")
            url = site.database.conninfo_as(site.operator)
            yield url.replace("port=5432", f"port={POOLER_PORT}")
        finally:
            process.kill()
            process.wait()
            for path in (users, settings, socket):
                path.unlink(missing_ok=True)


@pytest.mark.long
def test_table_in_the_way(site: Site) -> None:
    """
    A table of ours that somebody made by hand stops the step that would make it.
    """
    site.configure()
    site.run("advance", "--to", "backup").expect(0)
    site.execute("create table iu_core.iu_event (made_by_hand integer)")
    with nothing_applied(site):
        answer = site.run("advance")
    assert_as_told("half-applied DDL", answer)
    site.execute("drop table iu_core.iu_event")
    assert_goes_on(site)


def test_catalog_that_drifted(site: Site) -> None:
    """
    An object of ours that was changed by hand is named, and nothing goes on over it.
    """
    site.configure()
    site.run("advance", "--to", "substrate").expect(0)
    site.execute("alter table iu_core.iu_event add column by_hand integer")
    with nothing_applied(site):
        answer = site.run("advance")
        archives = set((site.folder / "backups").iterdir())
        back = site.run("rollback", "--to", "009", "--yes")
    assert_as_told("catalog drift", answer)
    assert_as_told("catalog drift, on the way back", back)
    assert "iu_event" in answer.err
    assert "drop column by_hand" in site.run("drift", "--sql").expect(3).out
    assert set((site.folder / "backups").iterdir()) == archives
    assert site.fetch_value("select count(*) from iu_gates.stop") == 0
    refused = (
        "select facts ->> 'target' from iu_gates.ledger"
        " where kind = 'refusal' and subject = 'rollback'"
    )
    assert site.fetch_value(refused) == "009"
    site.execute("alter table iu_core.iu_event drop column by_hand")


@pytest.mark.long
def test_unknown_revision(site: Site) -> None:
    """
    A database that a newer version has walked is refused, both ways; `disable` still works.
    """
    site.configure()
    site.run("advance", "--to", "substrate").expect(0)
    site.execute("update iu_gates.alembic_version set version_num = '999'")
    with nothing_applied(site):
        for line in (("advance",), ("rollback", "--to", "009", "--yes"), ("status",)):
            assert_as_told("revision unknown to this version", site.run(*line))
        said = site.run("disable").expect(0).out
    assert "off and drained" in said
    assert "lane behind" in said


@pytest.mark.long
def test_several_heads(site: Site) -> None:
    """
    Rows of alembic_version that overlap mean what their union means, and a walk goes on.
    """
    site.configure()
    site.run("advance", "--to", "substrate").expect(0)
    site.execute("insert into iu_gates.alembic_version values ('008')")
    assert "008 009 060" in site.run("status").expect(0).out
    assert_as_told("several heads in alembic_version", site.run("advance"))
    site.run("rollback", "--to", "009", "--yes").expect(0)
    site.execute("delete from iu_gates.alembic_version where version_num = '008'")
    assert_goes_on(site)


@pytest.mark.long
def test_no_session_free(site: Site) -> None:
    """
    A login that may open one session only is told so, and not that there is no server.
    """
    site.configure()
    site.run("advance").expect(0)
    site.execute("alter role {} connection limit 1", site.operator)
    with nothing_applied(site):
        answer = site.run("advance")
    assert_as_told("no session free", answer)
    site.execute("alter role {} connection limit -1", site.operator)
    assert_goes_on(site)


def test_ways_that_have_tests_of_their_own(site: Site) -> None:
    """
    No rights, no pg_dump, another site's database, no such database: the words of the table.
    """
    site.configure()
    site.execute("grant usage on schema cms to {}", site.approver)
    site.execute("grant select on all tables in schema cms to {}", site.approver)
    assert_as_told("no rights", site.run("advance", login=site.approver))
    gone = site.database.conninfo_as(site.operator).replace("/test_", "/no_such_")
    assert_as_told(
        "wrong database, no such one", run_command(site.folder, "advance", "--database-url", gone)
    )
    site.run("advance").expect(0)
    other = site.run("advance", IU_GATES_SITE_KEY="the key of another site")
    assert_as_told("wrong database, another site's", other)
    (site.folder / "none").mkdir()
    site.configure(limits='bin_dir = "none"')
    assert_as_told("no pg_dump, or an older one", site.run("advance"))
