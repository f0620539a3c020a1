"""
Databases in the states that the engine's tests begin with.

    make_engine     a maker: make_engine(State.LIVE)
    dry, seam, relaxed, canary, live      one each, walked to 080, 090, 100, 081, 082

Each is a clone of a template that was walked once a session (tests/support/walk.py), made an
installation of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.databases import Servers
from tests.support.engine import Engine, MakeEngine, open_engine
from tests.support.walk import State


@pytest.fixture
def make_engine(servers: Servers, major: int) -> Iterator[MakeEngine]:
    """Give a maker of walked databases with sessions on them."""
    with ExitStack() as stack:

        def make(state: State) -> Engine:
            return stack.enter_context(open_engine(servers.get(major), state))

        yield make


@pytest.fixture
def dry(make_engine: MakeEngine) -> Engine:
    """Give a database at 080: the worker runs, the route is dry, the seam raises."""
    return make_engine(State.DRY)


@pytest.fixture
def seam(make_engine: MakeEngine) -> Engine:
    """Give a database at 080 and 090: the seam is built, the old CHECK stands."""
    return make_engine(State.SEAM)


@pytest.fixture
def relaxed(make_engine: MakeEngine) -> Engine:
    """Give a database at 080 and 100: an approval would let the route live."""
    return make_engine(State.RELAXED)


@pytest.fixture
def canary(make_engine: MakeEngine) -> Engine:
    """Give a database at 081: live, with a quota of one."""
    return make_engine(State.CANARY)


@pytest.fixture
def live(make_engine: MakeEngine) -> Engine:
    """Give a database at 082: live."""
    return make_engine(State.LIVE)
