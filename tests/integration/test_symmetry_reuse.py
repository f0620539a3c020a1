"""`symmetry` with copies that serve again, several lanes, and what lies outside a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from iu_gates.embedded import Server
from iu_gates.symmetry import trunk
from iu_gates.symmetry.copies import Copies, making
from iu_gates.symmetry.project import Project
from iu_gates.symmetry.reuse import OUTSIDE, Kept
from iu_gates.symmetry.trial import Plan, Run, run
from tests.support.databases import Servers
from tests.support.projects import ENV, Rev, chain, make_project

Try = Callable[..., Run]


@pytest.fixture
def server(servers: Servers, major: int) -> Server:
    """Give a server to make databases on."""
    return servers.get(major)


@pytest.fixture
def attempt(server: Server, tmp_path: Path) -> Try:
    """Give a function that tries revisions, a project of its own each time."""

    def go(*revisions: Rev, login: str = "postgres", env: str = ENV, **options: Any) -> Run:
        folder = tmp_path / f"project {len(list(tmp_path.iterdir()))}"
        ini = make_project(folder, revisions, env)
        with making(server.conninfo("postgres", login)) as copies:
            return run(Project(ini, folder=folder, step_seconds=60), copies, Plan(**options))

    return go


@pytest.fixture(params=[pytest.param(1, marks=pytest.mark.long), 3])
def jobs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Give a number of jobs, each of them with a lane even where there is little to do."""
    monkeypatch.setattr(trunk, "FEWEST", 1)
    return int(request.param)


@contextmanager
def role(server: Server, name: str, options: str = "") -> Iterator[psycopg.Connection[Any]]:
    """Give a session of the superuser, and a role as long as it lasts."""
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        conn.execute(f"create role {name} {options}".encode())
        try:
            yield conn
        finally:
            conn.execute(f"drop role if exists {name}".encode())


def outcomes(seen: Run) -> dict[str, str]:
    """Return the outcome of each revision, by its name."""
    return {r.revision.name: r.outcome for r in seen.results}


TABLES = chain(*(Rev(f"r{n}", f"create table t{n} ()", f"drop table t{n}") for n in range(9)))


def test_symmetric_revisions_need_few_databases(
    attempt: Try, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    """
    What a trial left as the trunk was is taken to the next revision, not made anew.
    """
    make, made = Copies.make, []

    def count(copies: Copies, origin: str | None = None) -> str:
        made.append(origin)
        return make(copies, origin)

    monkeypatch.setattr(Copies, "make", count)
    seen = attempt(*TABLES, jobs=jobs)
    assert set(outcomes(seen).values()) == {"symmetric"}
    assert list(outcomes(seen)) == [r.name for r in TABLES]
    assert seen.walk is not None
    assert seen.walk.outcome == "symmetric"
    assert len(made) == 2 * jobs, "a database that goes forward and one copy, in each lane"


@pytest.mark.long
def test_lane_that_gives_up_leaves_its_part_to_the_first(
    attempt: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An upgrade that fails is told once, and what does not stand on it is tried.
    """
    monkeypatch.setattr(trunk, "FEWEST", 1)
    revisions = (*TABLES[:4], Rev("bad", "select no_such_function()", "", ("r3",)))
    after = Rev("after", "", "", ("bad",))
    beside = Rev("beside", "create type c as enum ('x')", "", ("r3",))
    seen = attempt(*revisions, after, beside, jobs=3)
    assert outcomes(seen) == {
        **dict.fromkeys(("r0", "r1", "r2", "r3"), "symmetric"),
        "bad": "cannot judge",
        "after": "cannot judge",
        "beside": "asymmetric",
    }
    assert seen.walk is not None
    assert (seen.walk.outcome, seen.walk.why) == (
        "not repeatable",
        "the second upgrade fails at beside",
    )


HIDDEN = chain(
    Rev("table", "create table t (id serial primary key, n int)", "drop table t"),
    Rev("other", "create table u (n int); create sequence s", "drop table u; drop sequence s"),
    Rev("left", "create type c as enum ('x')", ""),
    Rev("good", "create table v ()", "drop table v"),
    Rev("drawn", "select nextval('s')", ""),
    Rev("even", "insert into u select 1 where nextval('s') % 2 = 0", "truncate u"),
    Rev("seed", "insert into t (n) values (1), (2)", "delete from t"),
    Rev("loss", "", "delete from t where n = 2"),
    Rev("view", "create view w as select id from t", "drop view w"),
    Rev("fails", "", "drop table nothing_like_it"),
    Rev("once", "insert into t (n) select max(id) from t", "delete from t where n > 2"),
    Rev("moved", "alter table u add column m int", "alter table u drop column n"),
    Rev("last", "create index on t (n)", "drop index t_n_idx"),
)


def test_kept_copies_and_lanes_change_no_verdict(
    attempt: Try, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    """
    What a trial left behind, a picture shows it or not, comes up in no other revision's verdict.
    """
    with_reuse = attempt(*HIDDEN, jobs=jobs)
    monkeypatch.setattr(Kept, "put", lambda kept, copy, **_: kept.discard(copy))
    without = attempt(*HIDDEN)
    pairs = zip(
        (*with_reuse.results, with_reuse.walk), (*without.results, without.walk), strict=True
    )
    for one, other in pairs:
        assert one is not None
        assert other is not None
        assert _settled(one) == _settled(other)
    found = outcomes(with_reuse)
    bad = {"left": "asymmetric", "fails": "downgrade fails", "loss": "rows differ"}
    assert bad.items() <= found.items()
    assert {found[n] for n in ("good", "view", "last")} == {"symmetric"}


def _settled(result: Any) -> Any:
    return (
        *(result.revision.name, result.outcome, result.why),
        *(result.differences, result.rows, result.noise),
    )


def test_sequence_that_was_set_but_not_called_is_seen(attempt: Try) -> None:
    """
    A downgrade that leaves a sequence elsewhere, uncalled, leaves no copy to go on with.
    """
    seen = attempt(
        *chain(
            Rev("a", "create sequence s", "drop sequence s"),
            Rev("b", "create table t ()", "drop table t; alter sequence s restart with 7"),
            Rev(
                "c",
                "",
                "do $$ begin if (select last_value from s) = 1 then"
                " create table l (); end if; end $$",
            ),
        )
    )
    assert outcomes(seen)["c"] == "asymmetric"


def test_copy_whose_rows_were_not_compared_does_not_serve_again(attempt: Try) -> None:
    """
    With --no-rows a downgrade may have emptied a table, and the next one fail on the rows alone.
    """
    revisions = chain(
        Rev("r1", "create table t (n int not null); insert into t values (1)", "drop table t"),
        Rev("r2", "alter table t add x int", "delete from t; alter table t drop x"),
        Rev(
            "r3",
            "alter table t alter n drop not null; update t set n = null",
            "alter table t alter n set not null",
        ),
    )
    seen = attempt(*revisions, with_rows=False)
    assert outcomes(seen) == {"r1": "symmetric", "r2": "symmetric", "r3": "downgrade fails"}
    seen = attempt(*revisions, exclude_schemas=("public",))
    assert outcomes(seen)["r3"] == "downgrade fails"


@pytest.mark.parametrize(
    ("lanes", "drop"),
    [
        (1, "drop role of_reuse"),
        (1, "do $$ begin execute 'drop ' || 'role of_reuse'; end $$"),
        pytest.param(3, "drop role of_reuse", marks=pytest.mark.long),
    ],
)
def test_role_whose_grants_a_copy_holds_can_be_dropped(
    attempt: Try, server: Server, lanes: int, drop: str
) -> None:
    """
    No copy of the run is in the way of an upgrade that drops a role, whether its text says so.
    """
    grant = "grant select on t to of_reuse"
    with role(server, "of_reuse"):
        seen = attempt(
            *chain(
                Rev("table", "create table t ()", "drop table t"),
                Rev("grant", grant, "revoke select on t from of_reuse"),
                Rev("plain", "create table u ()", "drop table u"),
                Rev(
                    "gone",
                    f"revoke select on t from of_reuse; {drop}",
                    f"create role of_reuse; {grant}",
                ),
            ),
            jobs=lanes,
            with_walk=False,
        )
    assert set(outcomes(seen).values()) == {"symmetric"}


OUT = (
    *("create role r", "DROP USER u", "alter group g", "drop owned by r", "reassign owned by r"),
    *("create subscription s", "alter system set x", "alter database d set y", "drop tablespace t"),
    *("select pg_create_logical_replication_slot('a', 'b')", "grant set on parameter x to r"),
    "select pg_replication_origin_create('x')",
)


def test_statements_on_what_lies_outside_are_known_by_their_text() -> None:
    """
    Roles, tablespaces, slots, origins, parameters and subscriptions; user mappings are inside.
    """
    assert [text for text in OUT if not OUTSIDE.search(text.encode())] == []
    assert OUTSIDE.search(b"create user mapping for u server s") is None


def test_subscription_is_left_to_the_walk(attempt: Try) -> None:
    """
    No copy of a database has its subscriptions: what comes after one is judged without.
    """
    create = (
        "create subscription of_symmetry connection 'host=nowhere.invalid' publication p"
        " with (connect = false)"
    )
    drop = "alter subscription of_symmetry set (slot_name = none); drop subscription of_symmetry"
    seen = attempt(
        *chain(
            Rev("before", "create table t ()", "drop table t"),
            Rev("subscribe", create, drop),
            Rev("after", "create table u ()", "drop table u"),
            Rev("left", "create type c as enum ('x')", ""),
        ),
    )
    assert outcomes(seen) == {
        "before": "symmetric",
        "subscribe": "cannot judge",
        "after": "symmetric",
        "left": "asymmetric",
    }
    assert "a copy of a database has none" in seen.results[1].why
    assert [str(d) for d in seen.results[3].differences] == ["type public.c: is new"]


def test_table_that_cannot_be_read_is_one_verdict(attempt: Try, server: Server) -> None:
    """
    Row security that holds for the owner too keeps rows from being compared, and says so.
    """
    hide = "alter table t enable row level security; alter table t force row level security"
    show = hide.replace("enable", "disable").replace(" force", " no force")
    with role(server, "plain", "login createdb"):
        seen = attempt(
            *chain(
                Rev("table", "create table t (id int); insert into t values (1)", "drop table t"),
                Rev("hide", hide, show),
                Rev("show", show, hide),
                Rev("later", "create table u ()", "drop table u"),
                Rev("copy", "", hide),
            ),
            login="plain",
            with_walk=False,
        )
    assert outcomes(seen) == {
        "table": "symmetric",
        "hide": "cannot judge",
        "show": "cannot judge",
        "later": "symmetric",
        "copy": "cannot judge",
    }
    assert "cannot be read (--no-rows leaves rows out)" in seen.results[1].why
    assert "cannot be read (--no-rows leaves rows out)" in seen.results[4].why


COUNTED = "print('env', file=open({!r}, 'a'))\n" + ENV


@pytest.mark.long
def test_walk_is_one_run_of_env_each_way(attempt: Try, tmp_path: Path) -> None:
    """
    As `alembic downgrade base` and `alembic upgrade heads` go.
    """
    written = tmp_path / "runs"
    env = COUNTED.format(str(written))

    def count() -> int:
        found = len(written.read_text("utf-8").splitlines())
        written.unlink()
        return found

    attempt(*TABLES[:4], env=env, with_walk=False)
    alone = count()
    attempt(*TABLES[:4], env=env)
    assert count() == alone + 2
