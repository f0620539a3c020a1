"""plpgsql_check on every function that stands at live, where a server at hand has the extension."""

from __future__ import annotations

import psycopg

from tests.support.databases import Servers, cloned_database
from tests.support.majors import list_majors
from tests.support.tools import require_tool
from tests.support.walk import State, require_template

CHECK = """
    select p.oid::regprocedure::text, f.message, f.level
    from pg_proc as p
    join pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
    left join pg_trigger as t on t.tgfoid = p.oid and not t.tgisinternal
    cross join lateral plpgsql_check_function_tb(
        p.oid, coalesce(t.tgrelid, 0), performance_warnings => false, other_warnings => true,
        extra_warnings => false
    ) as f
    where p.pronamespace in ('iu_core'::regnamespace, 'iu_gates'::regnamespace)
      and f.level in ('error', 'warning')
"""


def find_extension(servers: Servers) -> int | None:
    """Return a major whose server offers plpgsql_check."""
    query = "select count(*) from pg_available_extensions where name = 'plpgsql_check'"
    for major in list_majors():
        with psycopg.connect(servers.get(major).conninfo()) as conn:
            if conn.execute(query).fetchone() == (1,):
                return major
    return None


def test_no_function_of_ours_is_faulty(servers: Servers) -> None:
    """Each plpgsql function refers only to what is there, with types that fit."""
    major = find_extension(servers)
    require_tool("plpgsql_check", there=major is not None)
    assert major is not None
    server = servers.get(major)
    template = require_template(server, State.LIVE)
    with (
        cloned_database(server, template) as database,
        psycopg.connect(database.conninfo, autocommit=True) as conn,
    ):
        conn.execute("create extension plpgsql_check")
        found = conn.execute(CHECK).fetchall()

    assert not found, found
