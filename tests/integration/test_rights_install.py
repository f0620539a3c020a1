"""
Where no superuser is to be had (RDS, Cloud SQL), and where the roles come later.

The login of the site owns its database and the host's tables, and is no superuser: with
CREATEROLE it makes what is needed by itself, without it `doctor` prints the SQL for the DBA.
Roles belong to a server, so each test has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from iu_gates import config, rollback
from iu_gates.config import Settings
from iu_gates.doctor import doctor
from iu_gates.embedded import Server
from iu_gates.errors import RefusedError
from iu_gates.model import Finding
from tests.support.walk import HOST, STEPS, walk_down, walk_to

LAST_WITH_PLAIN_CREATEROLE = 15
"""From 16 on, whoever makes roles may grant only what it made."""
RIGHTS = ("roles", "login", "schemas", "owner")


class Site:
    """A database of a login that is no superuser."""

    def __init__(self, server: Server, directory: Path, options: LiteralString) -> None:
        self.dba = psycopg.connect(server.conninfo(), autocommit=True)
        self.dba.execute(f"create role app login {options}")
        self.dba.execute("create database app owner app")
        self.server, self.directory = server, directory
        self.conninfo = server.conninfo("app", "app")
        self.superuser = psycopg.connect(server.conninfo("app"), autocommit=True)
        with psycopg.connect(self.conninfo) as conn:
            conn.execute(HOST)

    def settings_as(self, login: str) -> Settings:
        """Return the settings of a login."""
        return config.build(
            {
                "database_url": self.server.conninfo("app", login),
                "site_key_file": str(self.directory / "key"),
                "backup_dir": str(self.directory / "backups"),
                "bin_dir": str(self.server.bin_dir),
                "invocation": "manual",
            }
        )

    def list_failed(self, login: str = "app") -> list[Finding]:
        """Return what `doctor` finds wrong, but for the site key: the tests here have none."""
        checks = doctor(self.settings_as(login)).checks
        return [
            c for c in checks if not c.passed and c.name not in ("site key", "this installation")
        ]

    def list_rights(self, login: str = "app") -> list[Finding]:
        """Return what `doctor` finds wrong with roles and rights."""
        return [c for c in self.list_failed(login) if c.name in RIGHTS or "rights" in c.name]

    def mend(self, login: str = "app") -> str:
        """Run, as the DBA, the SQL that `doctor` prints about rights; return it."""
        script = "\n".join(c.remedy for c in self.list_rights(login))
        self.superuser.execute(script)
        return script

    def list_owners(self) -> set[str]:
        """Return who owns our schemas and what is in them."""
        rows = self.superuser.execute(
            """
            with ours as (select * from pg_namespace where nspname in ('iu_gates', 'iu_core'))
            select pg_get_userbyid(nspowner)::text from ours
            union select pg_get_userbyid(relowner)
            from pg_class join ours on ours.oid = relnamespace
            union select pg_get_userbyid(proowner)
            from pg_proc join ours on ours.oid = pronamespace
            where proname <> 'fn_capture_always'
            """
        )
        return {owner for (owner,) in rows.fetchall()}

    def list_drift(self) -> list[str]:
        """Return what drifted."""
        rows = self.superuser.execute("select object || ' ' || change from iu_gates.fn_drift()")
        return [text for (text,) in rows.fetchall()]

    def close(self) -> None:
        """Close the DBA's sessions."""
        self.superuser.close()
        self.dba.close()


@pytest.fixture
def make_site(own_server: Server, tmp_path: Path) -> Iterator[Callable[[LiteralString], Site]]:
    """Give a maker of sites on a server without our roles."""
    made: list[Site] = []

    def make(options: LiteralString) -> Site:
        made.append(Site(own_server, tmp_path, options))
        return made[-1]

    yield make
    for site in made:
        site.close()


MakeSite = Callable[[LiteralString], Site]
TARGETS = [target for _, target in STEPS.values()]


@pytest.mark.long_on_each_major
def test_login_that_may_make_roles_needs_no_dba(make_site: MakeSite) -> None:
    """
    CREATEROLE, and owner of database and tables: the first bootstrap makes all of it.

    From then on it acts for iu_gates_owner, the whole way up and down; what is left to a DBA is
    printed, and is enough. On 15 nothing is left.
    """
    site = make_site("createrole createdb")

    walk_to(site.conninfo, *TARGETS)

    assert site.list_owners() == {"iu_gates_owner"}
    left = "grant pg_read_all_stats to iu_gates_owner;"
    is_left = site.server.major > LAST_WITH_PLAIN_CREATEROLE
    assert [line for c in site.list_rights() for line in c.remedy.splitlines()][:1] == (
        [left] if is_left else []
    )
    site.mend()
    assert site.list_failed() == []
    walk_down(site.conninfo, "runtime@base", "009")
    walk_to(site.conninfo, *TARGETS)
    walk_down(site.conninfo, "base")
    assert site.list_owners() == {"iu_gates_owner"}


@pytest.mark.long_on_each_major
def test_what_doctor_prints_before_the_install_is_all_that_is_missing(make_site: MakeSite) -> None:
    """
    Without CREATEROLE the DBA runs doctor's SQL first: then the login installs, as an operator.

    It is not the owner's equal without asking: only between SET ROLE and COMMIT.
    """
    site = make_site("")
    site.mend()
    assert site.list_rights() == []

    walk_to(site.conninfo, *TARGETS)

    assert site.list_owners() == {"iu_gates_owner"}
    assert site.list_failed() == []
    with (
        psycopg.connect(site.conninfo) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute("update iu_core.iu_runtime_gate set gate_value = gate_value")
    walk_down(site.conninfo, "base")


@pytest.mark.long_on_each_major
def test_roles_that_come_after_the_install_take_over(make_site: MakeSite) -> None:
    """
    Installed without any role, the login owns all; after doctor's SQL iu_gates_owner does.

    The groups have their rights, nothing is called drift, and the way goes on from there.
    """
    site = make_site("")
    walk_to(site.conninfo, *TARGETS[:2])
    assert site.list_owners() == {"app"}
    names = [c.name for c in site.list_rights()]
    assert names[0] == "roles"
    assert {"owner", "rights of the groups"} <= set(names)

    script = site.mend()

    assert "alter schema iu_core owner to iu_gates_owner;" in script
    assert site.list_failed() == []
    assert site.list_owners() == {"iu_gates_owner"}
    assert site.list_drift() == []
    walk_to(site.conninfo, *TARGETS[2:])
    walk_down(site.conninfo, "base")
    assert site.list_drift() == []


def test_login_that_owns_all_walks_without_roles(make_site: MakeSite) -> None:
    """
    Nobody makes roles: the login owns our objects and may do all; doctor goes on asking.
    """
    site = make_site("")
    walk_to(site.conninfo, *TARGETS)
    assert site.list_owners() == {"app"}
    assert site.list_rights()[0].name == "roles"
    walk_down(site.conninfo, "base")
    assert site.list_drift() == []


def test_login_of_a_second_database_walks_where_the_groups_stand(make_site: MakeSite) -> None:
    """
    A first database made the groups, and this login is in none: it owns our objects, and walks.
    """
    site = make_site("createrole")
    site.dba.execute("create database first")
    with psycopg.connect(site.server.conninfo("first")) as conn:
        conn.execute(HOST)
    walk_to(site.server.conninfo("first"), TARGETS[0])

    walk_to(site.conninfo, *TARGETS)

    assert site.list_owners() == {"app"}
    assert site.list_rights()[0].name == "login"
    right = "select has_schema_privilege('app', 'iu_gates', 'create')"
    assert site.superuser.execute(right).fetchone() == (True,)
    walk_down(site.conninfo, "base")
    assert site.list_drift() == []


def test_bootstrap_by_a_dba_takes_over(make_site: MakeSite) -> None:
    """
    A superuser that walks on a login's installation makes the roles, and hands over.
    """
    site = make_site("")
    walk_to(site.conninfo, *TARGETS[:1])

    walk_to(site.server.conninfo("app"), *TARGETS[1:2])

    assert site.list_owners() == {"iu_gates_owner"}
    assert site.list_drift() == []
    actors = site.superuser.execute("select distinct actor from iu_gates.ledger").fetchall()
    assert set(actors) == {("app",), ("postgres",)}


@pytest.mark.long
def test_a_grant_too_many_stays_drift(make_site: MakeSite) -> None:
    """
    What `fn_record_rights` records is what the groups should have: nothing is laundered.
    """
    site = make_site("createrole")
    walk_to(site.conninfo, *TARGETS[:1])
    site.superuser.execute("grant update on iu_core.iu_runtime_gate to iu_gates_worker")
    site.superuser.execute("revoke select on iu_core.iu_event from iu_gates_auditor")
    (finding,) = [c for c in site.list_rights() if c.name == "rights of the groups"]
    assert "SELECT on table iu_core.iu_event to iu_gates_auditor" in finding.found

    site.mend()

    assert site.list_drift() == [
        "table iu_core.iu_runtime_gate: privilege UPDATE of iu_gates_worker added"
    ]


def test_operator_that_is_none_is_told_who_grants_it(make_site: MakeSite) -> None:
    """
    A login without a group: doctor prints the grant, and after it the login may roll back.
    """
    site = make_site("createrole")
    walk_to(site.conninfo, *TARGETS[:1])
    site.mend()
    site.dba.execute("create role dba2 login")
    with pytest.raises(RefusedError) as raised:
        rollback.rollback(site.settings_as("dba2"), "009")
    assert raised.value.ident == "IUG-087"
    assert raised.value.next_command == "iu-gates doctor"

    script = site.mend("dba2")

    assert script.splitlines()[0] == "grant iu_gates_operator to dba2;"
    assert "grant pg_read_all_data to dba2;" in script or '"dba2"' in script
    assert site.list_rights("dba2") == []
