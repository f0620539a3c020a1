"""Workers as processes of their own, with a log that is read."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iu_gates.audit import audit
from tests.support.cli import Answer, end, run_command, start_command
from tests.support.play import Stage
from tests.support.walk import SITE_KEY


@contextmanager
def running(
    stage: Stage, folder: Path, *arguments: str | Path, url: str = "", **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """Give a worker process of a stage, that writes its log to `folder`/log."""
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("w") as log:
        process = start_command(
            folder,
            "worker",
            "run",
            "--json",
            *arguments,
            stdout=log,
            IU_GATES_DATABASE_URL=url or stage.database.conninfo,
            IU_GATES_SITE_KEY=SITE_KEY,
            **variables,
        )
        try:
            yield process
        finally:
            end(process)


def run_line(stage: Stage, folder: Path, *line: str, url: str = "", **variables: str) -> Answer:
    """Run a command with a stage's settings to its end, by another way to the database if given."""
    told = {name: stage.values[name] for name in ("backup_dir", "bin_dir", "invocation")}
    return run_command(
        folder,
        *line,
        **{f"IU_GATES_{name.upper()}": value for name, value in told.items()},
        IU_GATES_DATABASE_URL=url or stage.database.conninfo,
        IU_GATES_SITE_KEY=SITE_KEY,
        **variables,
    )


def is_drained(stage: Stage) -> bool:
    """Tell whether each event was sent."""
    query = "select count(*) from iu_core.iu_event"
    return bool(stage.count("sent") == stage.fetch_value(query) > 0)


def read_states(folder: Path) -> set[str]:
    """Return the states in a worker's log, but for a line that is being written."""
    lines = (folder / "log").read_text().splitlines(keepends=True)
    return {json.loads(x)["state"] for x in lines if x.startswith("{") and x.endswith("\n")}


def assert_each_once_and_in_order(stage: Stage) -> None:
    """Nothing is missed, skipped, repeated, reordered or unexplained, and nothing was given up."""
    (report,) = audit(stage.settings)
    assert report.passed, [f for f in report.findings if not f.passed]
    assert report.counts["delivered"] == report.counts["captured"] > 0
    assert report.counts["dead"] == report.counts["duplicates"] == 0
