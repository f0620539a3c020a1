"""
Databases for the tests of the migrations.

    host_database   a database with the host's tables and nothing of ours
    make_engine     a maker: make_engine(State.LIVE), a walked database with sessions on it
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from tests.support.databases import Database, Servers, cloned_database, connections
from tests.support.engine import Engine, MakeEngine
from tests.support.walk import HOST, State, rehome, require_template


@pytest.fixture
def host_database(empty_database: Database) -> Database:
    """Give a database with the host's tables, empty."""
    with psycopg.connect(empty_database.conninfo) as conn:
        conn.execute(HOST)
    return empty_database


@pytest.fixture
def make_engine(servers: Servers, major: int) -> Iterator[MakeEngine]:
    """Give a maker of walked databases with sessions on them."""
    with ExitStack() as stack:

        def make(state: State) -> Engine:
            server = servers.get(major)
            template = require_template(server, state)
            database = stack.enter_context(cloned_database(server, template))
            rehome(database.conninfo)
            make_conn = stack.enter_context(connections(database.conninfo))
            return Engine(database, make_conn(), make_conn)

        yield make
