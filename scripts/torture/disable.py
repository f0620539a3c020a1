"""Rounds of `disable` under live deliveries; see scripts/torture/disable."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from iu_gates.config import ROUTE
from tests.support.databases import Servers
from tests.support.majors import newest_major
from tests.support.play import stages
from tests.support.rounds import play
from tests.support.walk import State


def say(text: str) -> None:
    """Show a line at once: a run is long."""
    print(text, flush=True)


def main() -> int:
    """Play the rounds of the gate and of the route; an AssertionError says what came late."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--major", type=int, default=newest_major())
    parser.add_argument("--only", choices=("gate", "route"))
    given = parser.parse_args()
    say(f"seed {given.seed}, PostgreSQL {given.major}, {given.rounds} rounds")
    scopes = {"gate": None, "route": ROUTE}
    with tempfile.TemporaryDirectory(prefix="iu-gates-torture-") as directory:
        place = Path(directory)
        place.chmod(0o711)
        servers = Servers(place)
        try:
            for scope, route in scopes.items():
                if given.only in (None, scope):
                    with stages(servers, given.major, place) as make:
                        chance = random.Random(f"{given.seed} {scope}")  # noqa: S311  no secret
                        seen = play(make(State.LIVE), given.rounds, route, chance, say)
                    say(f"{scope}: {seen}")
        finally:
            servers.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
