"""`iu-gates symmetry` as a project's CI calls it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import psycopg
import pytest

from tests.support.cli import Answer, end, poll, run_command, start_command
from tests.support.databases import Servers
from tests.support.projects import Rev, chain, make_project
from tests.support.walk import ROOT

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


def test_since_tries_what_git_says_has_changed(command: Command, project: Path) -> None:
    """
    Only a revision whose file is new or changed since a git revision is tried.
    """

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


def test_killed_run_leaves_what_clean_drops(
    servers: Servers, major: int, project: Path, command: Command
) -> None:
    """
    After SIGKILL the databases of the run are there; `--clean` drops them, and no other.
    """
    server = servers.get(major)
    hang = "time.sleep(600)"
    text = Rev("hang", hang, "", ("left",), python=True).text()
    (project / "db/migrations/versions/hang.py").write_text(text)
    line = ("symmetry", "--database-url", server.conninfo(), "--config", "db/alembic.ini")
    process = start_command(project, *line, stdout=subprocess.DEVNULL)
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:

        def count(what: str) -> int:
            query = f"select count(*) from {what}"
            row = conn.execute(query.encode()).fetchone()
            assert row is not None
            return int(row[0])

        ours = "pg_database where starts_with(datname, 'iu_gates_symmetry_')"
        busy = "pg_stat_activity where starts_with(datname, 'iu_gates_symmetry_')"
        try:
            poll(lambda: count(ours) > 0, "a database of the run")
        finally:
            end(process)
        assert count(ours) > 0
        conn.execute(f"select pg_terminate_backend(pid, 5000) from {busy}".encode())
        poll(lambda: count(busy) == 0, "the sessions of the run to end")
        command("--clean").expect(0)
        assert count(ours) == 0


def test_our_own_revisions_are_symmetric(servers: Servers, major: int) -> None:
    """
    T34: the lanes of this project, tried as any other project's, with its own env.py.
    """
    seen = run_command(
        ROOT,
        "symmetry",
        "--database-url",
        servers.get(major).conninfo(),
        "--setup-sql",
        "iu_gates/queries/demo_host.sql",
        "--url-variable",
        "IU_GATES_DATABASE_URL",
        "-x",
        "scratch",
        "-x",
        "bootstrap",
        "--no-rows",
        "--json",
        IU_GATES_SITE_KEY="a site",
    )
    assert {r["revision"]: r["outcome"] for r in seen.json["revisions"]} == dict.fromkeys(
        ("008", "009", "060", "080", "090", "100", "081", "082"), "symmetric"
    )
