"""Which pg_dump is chosen. The programs here only answer to ``--version``."""

from __future__ import annotations

from pathlib import Path

import pytest

from iu_gates.backup import Tools, find_tools
from iu_gates.backup.tools import require_major
from iu_gates.errors import BackupError


def put(directory: Path, version: str, *names: str) -> Path:
    """Make a directory of programs that say they are `version`."""
    directory.mkdir()
    for name in names or ("pg_dump", "pg_restore"):
        program = directory / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return directory


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put 92, 91 and 93 on PATH, in this order: later than whatever this machine has."""
    made = [put(tmp_path / str(n), f"{n}.4 (Debian {n}.4-1)") for n in (92, 91, 93)]
    monkeypatch.setenv("PATH", ":".join(map(str, [*made, "/usr/bin", "/bin"])))
    return tmp_path


@pytest.mark.parametrize(("server", "chosen"), [(90, 91), (91, 91), (92, 92), (93, 93)])
def test_smallest_version_that_suffices_is_chosen(on_path: Path, server: int, chosen: int) -> None:
    """
    Of several pg_dump the smallest major that is not older than the server wins.
    """
    tools = find_tools(server)

    assert tools.major == chosen
    assert tools.version == f"{chosen}.4"
    assert (tools.pg_dump.parent, tools.pg_restore.parent) == (on_path / str(chosen),) * 2


def test_directory_of_the_settings_is_the_only_one_looked_at(on_path: Path) -> None:
    """
    A directory that was set and does not suffice is an error, although PATH has better ones.
    """
    with pytest.raises(BackupError) as caught:
        find_tools(93, on_path / "91")

    assert caught.value.ident == "IUG-023"
    assert caught.value.exit_code == 3
    assert "91.4" in str(caught.value.found)
    assert "93" in str(caught.value.wanted)
    assert caught.value.next_command == "apt-get install postgresql-client-93"


def test_no_tools_says_where_was_looked(tmp_path: Path) -> None:
    """
    IUG-022, exit code 3, the directory and the command that installs it.
    """
    with pytest.raises(BackupError) as caught:
        find_tools(17, tmp_path)

    assert (caught.value.ident, caught.value.exit_code) == ("IUG-022", 3)
    assert str(tmp_path) in str(caught.value.found)
    assert caught.value.next_command == "apt-get install postgresql-client-17"


def test_pg_dump_without_pg_restore_beside_it_does_not_count(tmp_path: Path) -> None:
    """
    An archive that cannot be read back with the same version is no backup.
    """
    with pytest.raises(BackupError, match="no pg_dump at hand"):
        find_tools(17, put(tmp_path / "half", "17.1", "pg_dump"))


@pytest.mark.parametrize("body", ["exit 1", "echo nonsense", "kill -9 $$"])
def test_program_that_does_not_run_does_not_count(tmp_path: Path, body: str) -> None:
    """
    A pg_dump with a missing library, or something else of that name, is passed over.
    """
    directory = put(tmp_path / "bin", "17.1")
    (directory / "pg_dump").write_text(f"#!/bin/sh\n{body}\n")

    with pytest.raises(BackupError, match="no pg_dump at hand"):
        find_tools(17, directory)


def test_debians_switch_is_passed_over(tmp_path: Path) -> None:
    """
    `pg_wrapper` answers for whichever version it would choose now, and may choose another later.
    """
    switch = put(tmp_path / "share", "99.1", "pg_wrapper") / "pg_wrapper"
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("pg_dump", "pg_restore"):
        (directory / name).symlink_to(switch)

    with pytest.raises(BackupError, match="no pg_dump at hand"):
        find_tools(17, directory)


@pytest.mark.parametrize("version", ["18.4", "18beta1", "18devel", "18"])
def test_major_is_read_from_any_version(version: str) -> None:
    """
    Betas and development versions count as their major.
    """
    tools = Tools(Path("pg_dump"), Path("pg_restore"), version, version)

    assert require_major(tools, 18) is tools
    with pytest.raises(BackupError, match="older than the server"):
        require_major(tools, 19)


def test_this_machine_has_tools_for_its_own_servers() -> None:
    """
    The versioned directories and the packages are looked at: PATH alone is not all there is.
    """
    assert find_tools(16).major >= 16


def test_directory_that_may_not_be_entered_holds_no_tools(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    A search path left over from another account, such as root's, is passed over.
    """

    def deny(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", deny)

    with pytest.raises(BackupError) as raised:
        find_tools(18, tmp_path)

    assert raised.value.ident == "IUG-022"
