"""
Fixtures of every test: a database of its own on a real server.

    database        a clone of the template (tests/support/template.py)
    empty_database  a database with nothing in it
    conn            an autocommit connection to `database`
    other_conn      a second session
    make_conn       a maker of further sessions: make_conn(autocommit=False, user="approver")
    make_stage      a maker of databases with settings and all who play: make_stage(State.LIVE)
    own_server      a server of this test's own, which it may stop and kill
    servers         the session's servers; `servers.get(17)` starts one

A test runs on the newest PostgreSQL at hand; marked ``every_major``, on each. What is long is for
scripts/torture/majors, which sets ``IU_GATES_TEST_ALL``: ``long_on_each_major`` runs on the newest
without it, ``long`` not at all (it is told as deselected).
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest

from iu_gates.embedded import Server
from tests.support.databases import (
    SETTINGS,
    Database,
    Servers,
    cloned_database,
    connections,
)
from tests.support.majors import DEMANDED, list_majors, newest_major
from tests.support.play import MakeStage, stages

ROOMY_BYTES = 8 << 30
EVERYTHING = bool(os.environ.get("IU_GATES_TEST_ALL"))

hypothesis.settings.register_profile(
    "iu-gates",
    deadline=None,  # a statement's time is the server's, not the property's
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("iu-gates")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """
    Let one number repeat a run: hypothesis takes pytest-randomly's seed unless given its own.

    A shell that starts a job in the background has it ignore SIGINT, and all that it starts: then
    the tests of Ctrl-C would wait for ever.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    seed = config.getoption("randomly_seed", default=None)
    if isinstance(seed, int) and hypothesis.core.global_force_seed is None:
        hypothesis.core.global_force_seed = seed  # type: ignore[assignment]  # its type is a guess


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Name the servers and the number that repeats this run."""
    try:
        majors = " ".join(map(str, list_majors()))
    except LookupError as error:
        raise pytest.UsageError(str(error)) from error
    return [
        f"PostgreSQL: {majors} (demanded by {DEMANDED}, else all at hand)",
        f"hypothesis seed: {hypothesis.core.global_force_seed}",
    ]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what is long to scripts/torture/majors."""
    left = [] if EVERYTHING else [i for i in items if i.get_closest_marker("long")]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [i for i in items if i not in left]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on the newest major, or on each where it is marked ``every_major``."""
    if "major" not in metafunc.fixturenames:
        return
    marked = metafunc.definition.get_closest_marker
    is_for_all = marked("every_major") or (EVERYTHING and marked("long_on_each_major"))
    majors = list_majors() if is_for_all else (newest_major(),)
    metafunc.parametrize("major", majors, ids=[f"pg{major}" for major in majors], scope="session")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Give the session's servers, in a directory that the server's account can pass."""
    directory = Path(tempfile.mkdtemp(prefix="iu-gates-test-", dir=_find_memory()))
    directory.chmod(0o711)
    running = Servers(directory)
    try:
        yield running
    finally:
        running.close()
        shutil.rmtree(directory, ignore_errors=True)


def _find_memory() -> str | None:
    """Return a file system in memory with room to spare, if there is one: copies are many."""
    memory = Path("/dev/shm")  # noqa: S108  mkdtemp makes a directory of its own in it
    try:
        is_roomy = shutil.disk_usage(memory).free > ROOMY_BYTES and os.access(memory, os.W_OK)
    except OSError:
        return None
    return str(memory) if is_roomy else None


@pytest.fixture
def database(servers: Servers, major: int) -> Iterator[Database]:
    """Give a clone of the template."""
    with cloned_database(servers.get(major)) as made:
        yield made


@pytest.fixture
def empty_database(servers: Servers, major: int) -> Iterator[Database]:
    """Give a database with nothing in it."""
    with cloned_database(servers.get(major), template=None) as made:
        yield made


@pytest.fixture
def make_conn(database: Database) -> Iterator[Callable[..., psycopg.Connection]]:
    """Give a maker of sessions on `database`: autocommit, as `postgres`, unless said otherwise."""
    with connections(database.conninfo) as make:
        yield make


@pytest.fixture
def conn(make_conn: Callable[..., psycopg.Connection]) -> psycopg.Connection:
    """Give an autocommit session."""
    return make_conn()


@pytest.fixture
def other_conn(make_conn: Callable[..., psycopg.Connection]) -> psycopg.Connection:
    """Give a second autocommit session."""
    return make_conn()


@pytest.fixture
def make_stage(servers: Servers, major: int, tmp_path: Path) -> Iterator[MakeStage]:
    """Give a maker of stages."""
    with stages(servers, major, tmp_path) as make:
        yield make


@pytest.fixture
def own_server(major: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a running server that this test may stop and kill."""
    server = Server(tmp_path_factory.mktemp("server"), major=major, settings=SETTINGS)
    server.start()
    try:
        yield server
    finally:
        server.wipe()
