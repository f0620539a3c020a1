"""`worker run` as a process: signals, sudden death, metrics (P2, P8)."""

from __future__ import annotations

import signal
import socket
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from iu_gates import routes
from tests.support.cli import poll
from tests.support.play import MakeStage
from tests.support.processes import is_drained, read_states, running
from tests.support.walk import ROUTE, State


def test_standby_takes_over_from_a_killed_worker(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    P2, P8: one of two workers is killed (-9) under load; the other goes on, nothing twice.

    It ends at SIGTERM, with 0, and each line of its log is JSON.
    """
    stage = make_stage(State.LIVE)
    folders = [tmp_path / name for name in ("one", "two")]
    with ExitStack() as stack:
        for folder in folders:
            folder.mkdir()
        one = stack.enter_context(running(stage, folders[0], "--limit", "2"))
        two = stack.enter_context(running(stage, folders[1], "--limit", "2", "--connections", "2"))
        with stage.host(pause=0.002) as host:
            poll(lambda: stage.count("sent") > 20, "delivery")
            one.send_signal(signal.SIGKILL)
            sent = stage.count("sent")
            poll(lambda: stage.count("sent") > sent + 50, "the other goes on")
        assert host.written > 50
        poll(lambda: is_drained(stage), "all is delivered")
        poll(lambda: {"live", "idle"} <= read_states(folders[1]), "it says so")
        two.send_signal(signal.SIGTERM)
        assert two.wait(10) == 0
    rows = stage.fetch("select count(*), count(distinct idempotency_key) from public.event_outbox")
    assert rows == [(stage.count("sent"),) * 2]


def read_metrics(text: str) -> dict[str, Metric]:
    """Return the metric families by name, as prometheus_client's parser has them."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def read_served(port: int) -> dict[str, Metric]:
    """Return the metric families that a worker serves now."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return read_metrics(answer.read().decode())


def sample(families: dict[str, Metric], name: str, **labels: str) -> float:
    """Return the value of the one sample of this name with these labels."""
    (value,) = [
        s.value
        for family in families.values()
        for s in family.samples
        if s.name == name and labels.items() <= s.labels.items()
    ]
    return float(value)


def test_metrics_tell_what_was_done_and_what_stands(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    The port and the file show the same families; docs/metrics.md names each of them, and no other.
    """
    stage = make_stage(State.LIVE)
    routes.add(
        stage.settings,
        routes.NewRoute("second", "iu.version_applied", "workflow", None, None, policy={}),
    )
    stage.conn.execute(
        "select iu_gates.fn_ledger_append('verdict', 'second/seam', '{\"outcome\": \"pass\"}')"
    )
    stage.write("unit", 1, 2, 3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = tmp_path / "iu.prom"
    with running(stage, tmp_path, "--metrics-port", str(port), "--metrics-file", file) as process:
        poll(lambda: is_drained(stage), "delivery")
        poll(lambda: "iu_gates_worker_attempts_created" in read_served(port), "what was committed")
        served = read_served(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    written = read_metrics(file.read_text())
    assert served.keys() == written.keys()
    assert sample(written, "iu_gates_up") == 1
    assert sample(written, "iu_gates_worker_attempts_total", route=ROUTE, status="sent") == 2
    assert sample(written, "iu_gates_route_mode", route=ROUTE, mode="live") == 1
    assert sample(written, "iu_gates_gate_in_force", gate="live", route="") == 1
    assert sample(written, "iu_gates_gate_in_force", gate="seam", route="second") == 1
    assert sample(written, "iu_gates_gate_in_force", gate="live", route="second") == 0
    assert sample(written, "iu_gates_worker_batch_seconds_count", route=ROUTE) >= 1
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    documented = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `iu_")}
    families = {name for name in written if not name.endswith("_created")}
    assert {name.removesuffix("_total") for name in documented} == families


def test_taken_port_is_told(make_stage: MakeStage, tmp_path: Path) -> None:
    """
    A port that is taken is a usage error (exit 2, IUG-110), before any work is done.
    """
    stage = make_stage(State.LIVE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with running(stage, tmp_path, "--metrics-port", port) as process:
            assert process.wait(30) == 2
    assert "IUG-110" in (tmp_path / "log").read_text()
