"""What a rehearsal decides without a server: what is left out, what pg_restore's words mean."""

from __future__ import annotations

from typing import Any

import pytest

from iu_gates.backup.restoring import is_only_newer_setting
from iu_gates.errors import GateError
from iu_gates.rehearsal.place import require_able
from iu_gates.rehearsal.restore import LEFT_OUT, describe_failure

ABLE = {"login": "me", "in_recovery": False, "major": 16, "may_create": True}
REASON = 'unrecognized configuration parameter "transaction_timeout"'
SETTING = [
    f"pg_restore: error: could not execute query: ERROR:  {REASON}",
    "Command was: SET transaction_timeout = 0;",
    "pg_restore: warning: errors ignored on restore: 1",
]


@pytest.mark.parametrize(
    "entry",
    [
        "SUBSCRIPTION - fed owner",
        "SUBSCRIPTION TABLE - fed owner",
        "PUBLICATION - told owner",
        "PUBLICATION TABLE public told unit_version owner",
        "EVENT TRIGGER - watch owner",
        "COMMENT - EVENT TRIGGER watch owner",
        "USER MAPPING - USER MAPPING me SERVER away owner",
        "EXTENSION - pg_cron ",
        "COMMENT - EXTENSION pg_cron ",
        "TABLE DATA cron job owner",
        "MATERIALIZED VIEW DATA public totals owner",
    ],
)
def test_what_acts_beyond_the_database_is_left_out(entry: str) -> None:
    """
    T42: each kind by the words that ``pg_restore --list`` has for it.
    """
    assert LEFT_OUT.match(entry)


@pytest.mark.parametrize(
    "entry",
    [
        "TABLE public subscription owner",
        "TABLE DATA public cron owner",
        "TRIGGER public unit_version watch owner",
        "EXTENSION - pg_trgm ",
        "MATERIALIZED VIEW public totals owner",
        "COMMENT public TABLE publication owner",
    ],
)
def test_everything_else_is_restored(entry: str) -> None:
    """
    A name that reads like a kind is a name.
    """
    assert not LEFT_OUT.match(entry)


def test_setting_of_a_newer_pg_restore_is_passed_over() -> None:
    """
    It alone: one error, of that text.
    """
    assert is_only_newer_setting(SETTING)


@pytest.mark.parametrize(
    "said",
    [
        [],
        SETTING[:2],
        [*SETTING[:2], SETTING[2].replace(": 1", ": 2")],
        ["pg_restore: error: something else", *SETTING],
        [SETTING[0].replace("transaction", "other"), *SETTING[1:]],
    ],
)
def test_any_other_error_is_one(said: list[str]) -> None:
    """
    No error is passed over beside it, and none that was cut off.
    """
    assert not is_only_newer_setting(said)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ('ERROR:  role "app" does not exist', 'create role "app" nologin'),
        ('ERROR:  extension "postgis" is not available', "pg_available_extensions"),
        ("ERROR:  permission denied for schema public", "IU_GATES_REHEARSAL_URL"),
        ("ERROR:  must be owner of extension x", "IU_GATES_REHEARSAL_URL"),
        ('ERROR:  could not extend file "x": No space left on device', "IU_GATES_REHEARSAL_URL"),
        ("ERROR:  something else", "iu-gates rehearse"),
    ],
)
def test_failed_restore_says_what_mends_it(said: str, remedy: str) -> None:
    """
    The first error, with the section in which it came, and one thing to do.
    """
    finding = describe_failure("data", [f"pg_restore: error: {said}", "Command was: x"])
    assert finding.found == f"pg_restore, data: {said}"
    assert remedy in finding.remedy
    assert not finding.passed


@pytest.mark.parametrize(
    ("server", "word"),
    [
        ({"in_recovery": True}, "a standby"),
        ({"major": 15}, "older than the database"),
        ({"may_create": False}, "may not make databases"),
    ],
)
def test_server_that_cannot_hold_it_is_refused(server: dict[str, Any], word: str) -> None:
    """
    IUG-085, before anything is made.
    """
    require_able(ABLE, 16)
    with pytest.raises(GateError, match=word) as raised:
        require_able({**ABLE, **server}, 16)
    assert raised.value.ident == "IUG-085"
    assert raised.value.next_command
