"""
What a worker shows to Prometheus: on a port of the loopback, or in a file for node_exporter.

What this process did is counted here, batch by batch, and costs no SQL. What stands in the database
is asked for when somebody scrapes, by one bounded query (P12) on a connection of its own, at most
every 5 s. Names: docs/metrics.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import write_to_textfile
from prometheus_client.registry import Collector

from iu_gates import db
from iu_gates.config import Settings
from iu_gates.errors import IuGatesError, UsageError
from iu_gates.model import Batch

LOOPBACK: Final = "127.0.0.1"
FRESH_SECONDS: Final = 5.0
FILE_SECONDS: Final = 15.0
BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OUTCOMES: Final = ("sent", "duplicates", "dead", "parked")
FIGURES: Final = {
    "captured": ("events_captured", "Event numbers drawn so far", ()),
    "lag_events": ("lag_events", "Events that wait; above 1000 an upper bound", ("route",)),
    "lag_seconds": ("lag_seconds", "Age of the oldest event that waits", ("route",)),
    "window_age": (
        "window_age_seconds",
        "Time since the open window moved; 0 without one",
        ("route",),
    ),
    "mode": ("route_mode", "1 for the mode that the route is in", ("route", "mode")),
    "parked": ("parked_events", "Events to be tried again; at most 1001", ("route",)),
    "dead_letters": ("dead_letters", "Dead letters not redriven; at most 1001", ("route",)),
    "gate": ("switch_open", "1 if the switch lets workers work", ("switch",)),
    "verdict": ("gate_in_force", "1 if the gate's verdict counts now", ("route", "gate")),
    "heartbeat": ("heartbeat_age_seconds", "Time since a worker was seen", ("worker",)),
    "blocking": (
        "blocking_transaction_age_seconds",
        "Age of the oldest write transaction of the cluster, whose own events wait for it",
        ("holder",),
    ),
}
"""By the name in `fn_iu_worker_figures`: our name, its help, its labels."""


class Meter:
    """Counts what this process does; `registry` holds that and what stands in the database."""

    def __init__(self, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        self._attempts = Counter(
            "iu_gates_worker_attempts",
            "Attempts of this process",
            ["route", "status"],
            registry=self.registry,
        )
        self._batches = Histogram(
            "iu_gates_worker_batch_seconds",
            "Time of a batch that moved events",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._failures = Counter(
            "iu_gates_worker_failures",
            "Times that a route began to fail, or to be tried again, by state",
            ["route", "state"],
            registry=self.registry,
        )
        self.registry.register(Figures(settings))

    def observe(self, batch: Batch) -> None:
        """Count a batch."""
        if batch.state.startswith(("failed", "again")):
            self._failures.labels(batch.route, batch.state).inc()
        if not batch.events:
            return
        self._batches.labels(batch.route).observe(batch.seconds)
        if batch.state in {"dry", "held"}:
            self._attempts.labels(batch.route, batch.state).inc(batch.events)
        for status in OUTCOMES:
            if count := getattr(batch, status):
                self._attempts.labels(batch.route, status).inc(count)


class Figures(Collector):
    """What stands in the database, as a collector of prometheus_client."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._rows: list[dict[str, Any]] = []
        self._fresh_until = 0.0
        self._up = 0.0

    def describe(self) -> Iterable[Metric]:
        """Name nothing: to be registered must not ask the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Give the figures, at most 5 s old; without a server only that there is none."""
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                self._rows, self._up = self._fetch()
                self._fresh_until = time.monotonic() + FRESH_SECONDS
            rows, up = self._rows, self._up
        yield GaugeMetricFamily("iu_gates_up", "1 if the database answered", value=up)
        for figure, (name, text, labels) in FIGURES.items():
            family = GaugeMetricFamily(f"iu_gates_{name}", text, labels=labels)
            for row in rows:
                if row["figure"] == figure:
                    values = [v for v in (row["route_name"], row["label"]) if v is not None]
                    family.add_metric(values, row["amount"])
            yield family

    def _fetch(self) -> tuple[list[dict[str, Any]], float]:
        try:
            with db.connect(self._settings, "metrics") as conn, conn.transaction():
                conn.execute("set local statement_timeout = '2s'")
                query = db.load("worker_figures", self._settings.schema)
                return db.fetch_all(conn, query), 1.0
        except IuGatesError:
            return [], 0.0


@contextmanager
def served(meter: Meter, port: int | None, file: Path | None) -> Iterator[None]:
    """
    Serve the meter on a port, write it into a file every 15 s, or both, as long as this is entered.

    Raises:
        UsageError: The port is taken, or the file cannot be written.
    """
    stop = threading.Event()
    server, writer = None, None
    try:
        if port is not None:
            server, _ = start_http_server(port, LOOPBACK, meter.registry)
        if file is not None:
            write_to_textfile(str(file), meter.registry)
            writer = threading.Thread(target=_write, args=(meter, file, stop), daemon=True)
            writer.start()
    except OSError as error:
        if server is not None:
            server.server_close()
        raise UsageError(
            f"the metrics cannot be shown: {error.strerror or error}",
            ident="IUG-110",
            found=f"port {port} of {LOOPBACK}"
            if server is None and port is not None
            else str(file),
            means="the worker was not started",
            next_command="iu-gates worker run --metrics-port 9187",
            more="docs/metrics.md",
        ) from error
    try:
        yield
    finally:
        stop.set()
        if server is not None:
            server.shutdown()
            server.server_close()
        if writer is not None:
            writer.join()


def _write(meter: Meter, file: Path, stop: threading.Event) -> None:
    """Write the file until told to stop, and once more then; a full disk is no end of the work."""
    while not stop.wait(FILE_SECONDS):
        _try_to_write(meter, file)
    _try_to_write(meter, file)


def _try_to_write(meter: Meter, file: Path) -> None:
    try:
        write_to_textfile(str(file), meter.registry)
    except OSError:
        return
