"""Which PostgreSQL versions this run is on, and which it must be on."""

from __future__ import annotations

import os
from functools import cache

from iu_gates.embedded import find_installs

DEMANDED = "IU_GATES_TEST_MAJORS"


@cache
def list_majors() -> tuple[int, ...]:
    """
    Return the majors that ``every_major`` tests run on, newest first.

    ``IU_GATES_TEST_MAJORS=15,16,17,18`` demands exactly these; without it, all at hand between
    the oldest supported and the newest.

    Raises:
        LookupError: A demanded major is not installed. A version not tested is never a pass.
    """
    at_hand = [major for major in find_installs() if major >= 15]
    demanded = [int(word) for word in os.environ.get(DEMANDED, "").replace(",", " ").split()]
    missing = sorted(set(demanded) - set(at_hand))
    if missing or not at_hand:
        wanted = ", ".join(map(str, missing)) or "any"
        raise LookupError(f"{DEMANDED} wants PostgreSQL {wanted}; at hand: {at_hand or 'none'}")
    return tuple(sorted(demanded, reverse=True)) or tuple(at_hand)


def newest_major() -> int:
    """Return the major that all other tests run on."""
    return list_majors()[0]
