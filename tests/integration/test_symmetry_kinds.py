"""
Every kind of object and every attribute of it: an upgrade, its inverse, and one thing left out.

Names and ways are drawn; the seed of a run is printed, and IU_GATES_SEED repeats it.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from iu_gates.symmetry import KINDS, Difference, Snapshot, snapshot
from iu_gates.symmetry.carry import carry
from tests.support.cli import run_command
from tests.support.databases import Database, Servers, cloned_database
from tests.support.kinds import MAKE_ROLES, THINGS, Made
from tests.support.kinds.stage import Left, Stage, choose, prepare
from tests.support.majors import list_majors
from tests.support.projects import Rev, chain, make_project
from tests.support.walk import ROOT

Conn = psycopg.Connection[Any]
SEED: Final = "IU_GATES_SEED"
ROUNDS: Final = 10
WALKED: Final = ("enum", "domain", "view", "trigger", "policy", "foreign server")
PAGE: Final = ROOT / "docs" / "symmetry-kinds.md"
ROW: Final = re.compile(r"^\| ([a-z -]+) \| (.+) \|$", re.MULTILINE)
OF_ANY_NAME: Final = {
    "privilege": {"granted to …", "revoked from …"},
    "setting": {"each parameter"},
}
NOT_TRIED: Final = {
    ("collation", "encoding"): "is that of the database",
    ("column", "of type"): "tells a field of a type from a column of a table",
    ("constraint", "on domain"): "tells a check of a domain from one of a table",
}
"""Why no thing changes it."""


def assert_told(attributes: set[tuple[str, str]]) -> None:
    """Hold what the catalog has against what is tried here and what the page says."""
    told = {kind: set(said.split(", ")) for kind, said in ROW.findall(PAGE.read_text("utf-8"))[1:]}
    tried = {tuple(a.split("|")) for t in THINGS for a in t.attributes}
    plain = {each for each in attributes if each[0] not in OF_ANY_NAME}
    assert set(told) == set(KINDS)
    assert {k for k, _ in tried} == set(KINDS)
    assert plain - tried == set(NOT_TRIED)
    assert {each for each in tried if each[1] != "exists" and each[0] not in OF_ANY_NAME} <= plain
    assert {(k, a) for k, names in told.items() for a in names} == {
        *plain,
        *((kind, a) for kind, names in OF_ANY_NAME.items() for a in names),
    }


@pytest.fixture
def rng() -> random.Random:
    """Give a generator whose seed is printed."""
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(2**32))
    print(f"{SEED}={seed}")  # noqa: T201  shown where the test fails
    return random.Random(seed)


@pytest.fixture
def prepared(empty_database: Database) -> Iterator[Conn]:
    """Give a session on a database in which things can be made."""
    with psycopg.connect(empty_database.conninfo, autocommit=True) as conn:
        prepare(conn)
        yield conn


def walk(conn: Conn, rng: random.Random) -> int:
    """Walk a stage with everything on it, each attribute of each thing left out once."""
    stage = Stage(conn, choose(conn, THINGS), rng)
    with stage.undone():
        stage.build()
        before = stage.look()
        stage.upgrade()
        changed = before.diff(stage.look())
        every = [Left(m, a) for m in stage.made for a in stage.before[m]]
        assert [str(x) for x in every if not x.is_found_in(changed)] == []

        with stage.undone():
            stage.downgrade()
            assert [str(d) for d in before.diff(stage.look())] == []

        for turn in range(max(len(state) for state in stage.before.values())):
            left = [Left(m, list(s)[turn]) for m, s in stage.before.items() if turn < len(s)]
            with stage.undone():
                stage.downgrade_without(left)
                found = before.diff(stage.look())
            assert [str(x) for x in left if not x.is_found_in(found)] == []
    return len(every)


def test_each_attribute_left_out_is_found_and_no_exact_inverse(
    prepared: Conn, rng: random.Random
) -> None:
    """
    P11: whatever one attribute an inverse leaves out is named; the whole inverse leaves no trace.
    """
    assert walk(prepared, rng) > 300


def test_each_object_left_behind_is_found(prepared: Conn, rng: random.Random) -> None:
    """
    P11: an object that a downgrade does not drop, or does not make again, is named.
    """
    stage = Stage(prepared, choose(prepared, THINGS), rng, is_plain=True)
    with stage.undone():
        stage.build(bare=True)
        without = stage.look()
        stage.make_all()
        with_all = stage.look()
        stage.drop_all()
        assert [str(d) for d in without.diff(stage.look())] == []
        stage.make_all()
        assert [str(d) for d in with_all.diff(stage.look())] == []
    attributes = {(kind, a) for (kind, _), each in with_all.objects.items() for a in each}
    assert_told(attributes)
    objects = [Left(m, f"{m.thing.exists}|exists") for m in stage.made if m.thing.exists]
    for found in (without.diff(with_all), with_all.diff(without)):
        assert [str(x) for x in objects if not x.is_found_in(found)] == []


@pytest.mark.parametrize(
    "is_exact",
    [pytest.param(True, marks=pytest.mark.long), False],
    ids=["exact", "left out"],
)
def test_command_says_the_same(
    servers: Servers, major: int, tmp_path: Path, rng: random.Random, *, is_exact: bool
) -> None:
    """
    P11: `iu-gates symmetry`, with such revisions in a project.
    """
    chosen = [t for t in THINGS if t.name in WALKED]
    made = [Made(thing, number, rng, "") for number, thing in enumerate(chosen)]
    before = {m: m.draw(rng, is_plain=True) for m in made}
    after = {m: m.draw_other(before[m], rng) for m in made}
    left = {m: rng.choice([*before[m]]) for m in made}
    first = ";".join([MAKE_ROLES, *(f"{m.around or 'select'};{m.make(before[m])}" for m in made)])
    (tmp_path / "first.sql").write_text(first)
    revisions = []
    for m in made:
        state = before[m] if is_exact else {**before[m], left[m]: after[m][left[m]]}
        up, down = (m.change(*pair, rng) for pair in ((before[m], after[m]), (after[m], state)))
        revisions.append(Rev(m.tag, execute(up), execute(down), python=True))
    make_project(tmp_path, chain(*revisions))
    url = servers.get(major).conninfo()

    line = ("symmetry", "--database-url", url, "--setup-sql", "first.sql", "--no-rows", "--json")
    seen = run_command(tmp_path, *line).expect(0 if is_exact else 3).json

    outcome = "symmetric" if is_exact else "asymmetric"
    assert [r["outcome"] for r in seen["revisions"]] == [outcome] * len(made)
    for m, one in zip(made, seen["revisions"], strict=True):
        found = [
            Difference(d["kind"], d["object"], d["attribute"], d["before"], d["after"])
            for d in one["differences"]
        ]
        assert is_exact or Left(m, left[m]).is_found_in(found)


def execute(statements: str) -> str:
    """Return Python that runs SQL as it is, whatever its names are made of."""
    return f"op.get_bind().connection.driver_connection.execute({statements!r})"


@pytest.mark.long
def test_many_draws_on_every_major(servers: Servers, rng: random.Random) -> None:
    """
    P11: other names, other ways, on each PostgreSQL.
    """
    pairs = 0
    for major in list_majors():
        with (
            cloned_database(servers.get(major), template=None) as database,
            psycopg.connect(database.conninfo, autocommit=True) as conn,
        ):
            prepare(conn)
            pairs += sum(walk(conn, rng) for _ in range(ROUNDS))
    print(f"{pairs} pairs")  # noqa: T201
    assert pairs > ROUNDS * 300 * len(list_majors())


def test_equal_catalogs_compare_equal_on_every_major(servers: Servers, rng: random.Random) -> None:
    """
    What all majors have, made by the same statements, is the same; a view's text before 16 apart.
    """
    found: dict[int, Snapshot] = {}
    seed = rng.random()
    with ExitStack() as stack:
        for major in list_majors():
            database = stack.enter_context(cloned_database(servers.get(major), template=None))
            conn = stack.enter_context(psycopg.connect(database.conninfo, autocommit=True))
            prepare(conn)
            things = [t for t in THINGS if t.since == 15 and not t.needs]
            stage = Stage(conn, things, random.Random(seed))
            with stage.undone():
                stage.build()
                found[major] = stage.look()

    newest = found.pop(max(found))
    for major, other in found.items():
        different = newest.diff(other)
        if major < 16:
            different = [x for x in different if (x.kind, x.attribute) != ("view", "definition")]
        assert [f"{major}: {x}" for x in different] == []


def test_copy_of_a_database_is_given_what_template_leaves_behind(prepared: Conn) -> None:
    """
    Settings, rights, limit and comment of a database are its copy's too.
    """
    origin = prepared.info.dbname
    on = f'database "{origin}"'
    prepared.execute(
        f"alter {on} set work_mem = '5MB'; alter {on} set search_path = a, \"B c\";"
        f" alter {on} set application_name = 'it''s %s';"
        f" alter role snapshot_bob in {on} set statement_timeout = '5s';"
        f" alter {on} connection limit 50; comment on {on} is 'it''s 100%';"
        f" revoke temporary on {on} from public; grant create on {on} to snapshot_bob"
        " with grant option".encode()
    )
    before = snapshot(prepared)
    conninfo = prepared.info.dsn
    prepared.close()
    copy = f"{origin}_copy"
    with psycopg.connect(conninfo, dbname="postgres", autocommit=True) as conn:
        conn.execute(f'create database "{copy}" template "{origin}"')
        try:
            carry(conn, origin, copy)
            with psycopg.connect(conninfo, dbname=copy) as other:
                assert [str(d) for d in before.diff(snapshot(other))] == []
        finally:
            conn.execute(f'drop database "{copy}"')
