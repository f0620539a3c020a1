"""What pg_dump says when it fails, and what must not be in it."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iu_gates.backup import process
from iu_gates.backup.defects import dump_failed
from iu_gates.backup.process import ChildConnection, run_dump, scrub
from iu_gates.embedded.process import list_children
from iu_gates.errors import BackupError, UnreachableError

PHRASE = "Geheim/ 100%'wort"


@pytest.mark.parametrize(
    "text",
    [
        f"password authentication with {PHRASE} failed",
        "postgresql://app:Geheim%2F%20100%25%27wort@db/app is wrong",
        "password=other host=db",
        "PASSWORD = 'an other\\' one' host=db",
        "postgresql://app:other@db/app",
    ],
)
def test_passwords_are_taken_out(text: str) -> None:
    """
    The password of the connection, in plain or as a URL has it, and whatever looks like one.
    """
    clean = scrub(text, [PHRASE])

    assert "***" in clean
    for part in (PHRASE, "Geheim", "other"):
        assert part not in clean


@given(st.text(min_size=1).filter(lambda text: "*" not in text), st.text(), st.text())
def test_no_secret_survives(secret: str, before: str, after: str) -> None:
    """
    Whatever stands around it, the secret itself is not in the text any more.
    """
    assert secret not in scrub(before + secret + after, [secret])


@pytest.mark.parametrize(
    ("said", "kind", "ident"),
    [
        ("server closed the connection unexpectedly", UnreachableError, "IUG-050"),
        ('connection to server on socket "x" failed', UnreachableError, "IUG-050"),
        ("could not write to output file: No space left on device", BackupError, "IUG-030"),
        ("permission denied for table thing", BackupError, "IUG-021"),
        ("", BackupError, "IUG-021"),
    ],
)
def test_end_of_pg_dump_has_a_meaning(said: str, kind: type[Exception], ident: str) -> None:
    """
    A cut connection exits 5, a full disk and everything else 3, each with its own id.
    """
    error = dump_failed(1, said.splitlines())

    assert type(error) is kind
    assert error.ident == ident
    assert error.facts["stderr"] == said.splitlines()


def test_secrets_do_not_show_in_a_traceback_with_locals() -> None:
    """
    The text form of what a child gets has neither the environment nor the secrets.
    """
    connection = ChildConnection({b"PGPASSWORD": PHRASE.encode()}, (), (PHRASE,))

    assert "Geheim" not in f"{connection!r} {connection}"


def test_child_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An interrupted run asks the child to end, and after its grace kills it.
    """
    monkeypatch.setattr(process, "_GRACE_S", 0.05)
    before = list_children(os.getpid())
    pids: list[int] = []

    def interrupt() -> None:
        pids.extend(pid for pid in list_children(os.getpid()) if pid not in before)
        raise KeyboardInterrupt

    deaf = ["/bin/sh", "-c", "trap '' TERM; exec sleep 60"]
    with tempfile.TemporaryFile() as out, pytest.raises(KeyboardInterrupt):
        run_dump(deaf, ChildConnection(dict(os.environb), (), ()), out.fileno(), interrupt)

    assert len(pids) == 1
    assert pids[0] not in list_children(os.getpid())


def test_signal_is_named() -> None:
    """
    A pg_dump that was killed says nothing, so the error names the signal.
    """
    assert "signal 9" in dump_failed(-9, []).summary
