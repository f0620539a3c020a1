"""A file system that is really full: the errno that no limit of a process gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import MakeSite
from tests.support.cli import SECONDS, Answer, make_environment
from tests.support.failures import assert_as_told
from tests.support.tools import require_tool

# Root has no need of a user namespace, in which the server's files would not be its own.
UNSHARE = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--mount")
IN_TWO_MEGABYTES = """
mount -t tmpfs -o size=2m,mode=0700 tmpfs "$1" && shift && "$@"
code=$?
ls -A backups >left
exit $code
"""


def may_mount(folder: Path) -> bool:
    """Tell whether this account may mount a file system of its own."""
    command = [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.long
def test_full_file_system_leaves_no_archive(make_site: MakeSite, tmp_path: Path) -> None:
    """
    ENOSPC in the middle of the dump: the error and the next command, and not a file is left.
    """
    require_tool("mount", there=may_mount(tmp_path))
    site = make_site()
    site.configure()
    site.run("advance").expect(0)
    # Of what hardly compresses, more than fits; and less than the estimate before takes it for.
    site.execute(
        "create table cms.noise as select decode(md5(n::text), 'hex') as bytes"
        " from generate_series(1, 150000) as n"
    )
    site.execute("grant select on cms.noise to {}", site.operator)
    backups = site.folder / "backups"
    backups.mkdir(mode=0o700)
    for line in (("backup", "create"), ("advance",)):
        program = [sys.executable, "-m", "iu_gates", *line]
        done = subprocess.run(
            [*UNSHARE, "sh", "-c", IN_TWO_MEGABYTES, "sh", str(backups), *program],
            check=False,
            cwd=site.folder,
            env=make_environment(site.folder, **site._told("", {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        answer = Answer(line, done.returncode, done.stdout, done.stderr)
        assert_as_told("disk full in the dump", answer)
        assert "No space left on device" in answer.err
        assert (site.folder / "left").read_text("utf-8") == "", line
    site.run("advance", "--to", "substrate").expect(0)
