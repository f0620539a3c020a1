"""`iu-gates symmetry` as a project's CI calls it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import psycopg
import pytest

from iu_gates.embedded import Server
from tests.support.cli import SECONDS, Answer, end, poll, run_command, start_command
from tests.support.databases import Database, Servers
from tests.support.engine import write
from tests.support.projects import Rev, chain, make_project
from tests.support.walk import HOST, ROOT, SITE_KEY, walk_to

Command = Callable[..., Answer]
GOOD = Rev("good", "create table t (id int)", "drop table t")
LEFT = Rev("left", "create type color as enum ('red')", "")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give the folder of a project with one fault, in a path with a space."""
    folder = tmp_path / "a project"
    folder.mkdir()
    make_project(folder / "db", chain(GOOD, LEFT))
    return folder


@pytest.fixture
def command(servers: Servers, major: int, project: Path) -> Command:
    """Give a function that runs ``iu-gates symmetry`` in the project's folder."""
    url = servers.get(major).conninfo()

    def run(*arguments: str, **variables: str) -> Answer:
        line = (
            "symmetry",
            "--database-url",
            url,
            "--config",
            "db/alembic.ini",
            "--jobs",
            "1",
            *arguments,
        )
        return run_command(project, *line, **variables)

    return run


@pytest.mark.long
def test_page_files_and_baseline(command: Command, project: Path) -> None:
    """
    A fault is exit 3 with its line; written to a baseline it is known, and mended it is fixed.
    """
    seen = command("--junit", "out.xml", "--sarif", "out.sarif", "--markdown", "out.md").expect(3)
    assert "✗ left" in seen.out
    assert "downgrade() lacks: op.execute('drop type public.color')" in seen.out
    suite = ET.parse(project / "out.xml").getroot()  # noqa: S314  our own file
    assert suite is not None
    assert suite.get("failures") == "2"
    assert json.loads((project / "out.sarif").read_text())["version"] == "2.1.0"
    assert "`left`" in (project / "out.md").read_text()

    command("--write-baseline", "known.json").expect(0)
    assert command("--baseline", "known.json", "--json").expect(0).json["passed"] is True

    file = project / "db/migrations/versions/left.py"
    file.write_text(file.read_text().replace("    pass", '    op.execute("drop type color")'))
    mended = command("--baseline", "known.json").expect(0)
    assert "to be taken out of the baseline: base ← heads, left" in mended.out


@pytest.mark.long
def test_since_tries_what_git_says_has_changed(
    command: Command, project: Path, servers: Servers, major: int
) -> None:
    """
    Only a revision whose file is new or changed since a git revision is tried.

    What git does not know is told, with what brings it into a shallow clone.
    """
    url = servers.get(major).conninfo()

    def git(*arguments: str) -> None:
        line = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
        subprocess.run(line, cwd=project, check=True, capture_output=True)

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "all")
    assert command("--since", "HEAD", "--json").expect(0).json["revisions"] == []
    with (project / "db/migrations/versions/left.py").open("a") as file:
        file.write("# changed\n")
    seen = command("--since", "HEAD", "--json").expect(3).json
    assert [r["revision"] for r in seen["revisions"]] == ["left"]

    git("add", ".")
    git("commit", "--quiet", "--message", "changed")
    beside = project / "db/migrations/versions/good/up.sql"
    beside.parent.mkdir()
    beside.write_text("select 1")
    seen = command("--since", "HEAD", "--json").expect(0).json
    assert [r["revision"] for r in seen["revisions"]] == ["good"], "a file of its own folder"
    for unknown in ("no-such-branch", "--output=x"):
        said = command(f"--since={unknown}").expect(2)
        assert said.next_command == "git branch --all"
    git("clone", "--quiet", "--depth", "1", f"file://{project}", "shallow")
    said = run_command(
        project / "shallow",
        *("symmetry", "--config", "db/alembic.ini", "--since", "HEAD~1"),
        *("--database-url", url),
    ).expect(2)
    assert said.next_command == "git fetch --unshallow"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--config", "nowhere.ini"), "no Alembic configuration"),
        (("--revisions", "zz:"), "is no revision"),
        (("--revisions", "left", "--since", "HEAD"), "two ways"),
        (("--baseline", "nowhere.json"), "no baseline"),
        (("--refuses", "("), "no regular expression"),
        (("--setup-sql", "nowhere.sql"), "cannot read"),
        (("--since", "HEAD"), "git cannot say"),
        (("--no-such-flag",), "no such option"),
    ],
)
def test_what_makes_no_sense_is_exit_2(
    command: Command, arguments: tuple[str, ...], says: str
) -> None:
    """
    A wrong call is told as such, and no database is left of it.
    """
    seen = command(*arguments).expect(2)
    assert says in seen.err


def test_database_has_to_be_named(project: Path) -> None:
    """
    An embedded server is no silent fallback, here neither.
    """
    seen = run_command(project, "symmetry", "--config", "db/alembic.ini").expect(2)
    assert "IUG-012" in seen.err


LEAK = """
from alembic import context
url = context.config.get_main_option("sqlalchemy.url")
print(url)
raise RuntimeError(url + " " + os.environ["PGPASSWORD"])
"""


@pytest.mark.long
def test_password_is_in_nothing_that_is_said(
    servers: Servers, major: int, project: Path, command: Command
) -> None:
    """
    A revision that prints its URL does not bring the password into the report.
    """
    server = servers.get(major)
    url = server.conninfo().replace("postgres@", "postgres:s3%2Fcr3t@")
    leak = Rev("leak", LEAK, "", ("left",), python=True).text()
    (project / "db/migrations/versions/leak.py").write_text(leak)
    line = ("symmetry", "--database-url", url, "--config", "db/alembic.ini")
    for form in (("--jobs", "1"), ("--json",)):
        seen = run_command(project, *line, *form).expect(3)
        assert "cannot judge" in seen.out
        assert "cr3t" not in seen.out + seen.err


HANG = Rev("hang", "time.sleep(600)", "", ("left",), python=True).text()


@pytest.fixture
def hanging(
    servers: Servers, major: int, project: Path
) -> Iterator[tuple[subprocess.Popen[str], Callable[[], list[str]]]]:
    """Give a run that hangs in its last revision, and a function that lists its databases."""
    server = servers.get(major)
    (project / "db/migrations/versions/hang.py").write_text(HANG)
    line = ("symmetry", "--database-url", server.conninfo(), "--config", "db/alembic.ini")
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:

        def list_ours() -> list[str]:
            query = "select datname from pg_database where starts_with(datname, %s)"
            return [name for (name,) in conn.execute(query, ("iu_gates_symmetry_",))]

        process = start_command(project, *line, stdout=subprocess.DEVNULL)
        try:
            poll(lambda: len(list_ours()) > 0, "a database of the run")
            yield process, list_ours
        finally:
            end(process)


def test_killed_run_leaves_what_clean_drops(
    command: Command, hanging: tuple[subprocess.Popen[str], Callable[[], list[str]]]
) -> None:
    """
    `--clean` drops nothing of a living run, and all of one that was killed.
    """
    process, list_ours = hanging
    assert command("--clean", "--json").expect(0).json["dropped"] == []
    assert list_ours() != []
    end(process)

    def clean() -> bool:
        command("--clean").expect(0)
        return list_ours() == []

    poll(clean, "the server to see that the run is over")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_run_that_is_cancelled_drops_what_it_made(
    hanging: tuple[subprocess.Popen[str], Callable[[], list[str]]], number: signal.Signals
) -> None:
    """
    Ctrl-C, and the signal of a CI job that is cancelled: exit 130, at once, and nothing is left.
    """
    process, list_ours = hanging
    process.send_signal(number)
    assert process.wait(SECONDS) == 130
    assert list_ours() == []


def try_our_own(server: Server, *arguments: str) -> dict[str, str]:
    """Try the lanes of this project, as any other's, and return the outcomes."""
    seen = run_command(
        ROOT,
        *("symmetry", "--database-url", server.conninfo(), "--json", "--no-cache"),
        *("--url-variable", "IU_GATES_DATABASE_URL"),
        *arguments,
        IU_GATES_SITE_KEY=SITE_KEY,
    )
    assert seen.json.get("passed"), seen.out
    return {r["revision"]: r["outcome"] for r in seen.json["revisions"]}


@pytest.mark.every_major
def test_our_own_revisions_are_symmetric(servers: Servers, major: int) -> None:
    """
    T34: the lanes of this project, tried as any other project's, with its own env.py.
    """
    setup = "iu_gates/queries/demo_host.sql"
    line = ("--no-rows", "--setup-sql", setup, "-x", "scratch", "-x", "bootstrap")
    assert try_our_own(servers.get(major), *line) == dict.fromkeys(
        ("008", "009", "060", "080", "090", "100", "081", "082"), "symmetric"
    )


@pytest.mark.every_major
def test_our_own_revisions_are_symmetric_with_history(
    empty_database: Database, tmp_path: Path
) -> None:
    """
    T34, P11: what comes after 090, tried on a scratch database with events.

    090 itself gives row types their rights, which pg_dump does not carry: there the backup differs.
    """
    conninfo, dump = empty_database.conninfo, tmp_path / "history.dump"
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(HOST)
        walk_to(conninfo, "substrate@060", "runtime@080", scratch=True)
        write(conn, "history", 1, 2, 3)
        assert conn.execute("select count(*) from iu_core.iu_event").fetchone() == (2,)
    program = str(empty_database.bin_dir / "pg_dump")
    subprocess.run([program, "-Fc", f"--file={dump}", conninfo], check=True)

    line = ("--no-rows", "--rows-from", str(dump), "--revisions", "100:")
    assert try_our_own(empty_database.server, *line) == dict.fromkeys(
        ("100", "081", "082"), "symmetric"
    )
