# ruff: noqa: PLC0415  Alembic costs a third of a second: it is imported by what walks
"""
Alembic as a library: where the lanes stand, one step up, a walk down.

`REVISIONS` is the order of the gates, which is not the order of the lanes (T30); the
migrations themselves know nothing of it, the guard in the database does.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import psycopg

from iu_gates import config, db, locks
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import GateError, IuGatesError, LockHeldError, RefusedError, UsageError
from iu_gates.model import Direction, Step

if TYPE_CHECKING:
    from alembic.config import Config


Lane = Literal["substrate", "runtime"]


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision: its lane, the gate that applies it, what it stands on."""

    name: str
    lane: Lane
    gate: str
    summary: str
    needs: tuple[str, ...]

    @property
    def is_ddl(self) -> bool:
        """True if it changes the catalog: the runtime lane changes rows only."""
        return self.lane == "substrate"


REVISIONS: Final = (
    Revision("008", "substrate", "substrate", "events, routes, attempts, dead letters", ()),
    Revision("009", "substrate", "substrate", "cursor and worker; the seam raises", ("008",)),
    Revision(
        "060", "substrate", "substrate", "capture trigger, worker gate (off), route (dry)", ("009",)
    ),
    Revision("080", "runtime", "dry_run", "worker gate opened", ("060",)),
    Revision("090", "substrate", "seam", "the delivery seam", ("060",)),
    Revision("100", "substrate", "check_relaxed", "a live route needs an approval", ("090",)),
    Revision("081", "runtime", "canary", "live with a quota of one", ("080", "100")),
    Revision("082", "runtime", "live", "live: quota lifted", ("081",)),
)
BY_NAME: Final = {r.name: r for r in REVISIONS}
TARGETS: Final[Mapping[str, tuple[str, ...]]] = {
    "base": ("base",),
    "008": ("008",),
    "009": ("009",),
    "060": ("runtime@base", "060"),
    "080": ("runtime@080",),
    "081": ("runtime@081",),
    "090": ("runtime@080", "090"),
    "100": ("runtime@080",),
}
"""`rollback --to` NAME: the targets per lane, in order (T32)."""


def list_applied(conn: Conn) -> tuple[str, ...]:
    """Return the applied revisions of both lanes, in the order of `REVISIONS`."""
    if db.fetch_value(conn, "select to_regclass('iu_gates.alembic_version')") is None:
        return ()
    heads = {
        r[0] for r in conn.execute("select version_num from iu_gates.alembic_version").fetchall()
    }
    if unknown := heads - set(BY_NAME):
        raise RefusedError(
            "the database is at a revision that this version does not know",
            ident="IUG-044",
            found=", ".join(sorted(unknown)),
            wanted=f"one of {', '.join(BY_NAME)}",
            next_command="git pull && pip install --upgrade ./",
        )
    return list_with_needs(heads)


def list_with_needs(heads: Iterable[str]) -> tuple[str, ...]:
    """Return these revisions and all that they stand on, in the order of `REVISIONS`."""
    todo, applied = set(heads), set[str]()
    while todo:
        name = todo.pop()
        applied.add(name)
        todo |= set(BY_NAME[name].needs) - applied
    return tuple(r.name for r in REVISIONS if r.name in applied)


def undone_by(applied: tuple[str, ...], target: str) -> tuple[Step, ...]:
    """
    Return the steps that a rollback to a target undoes, in order.

    Raises:
        UsageError: The target is none of `TARGETS`.
    """
    if target not in TARGETS:
        raise UsageError(
            f'"{target}" is no target of a rollback',
            ident="IUG-017",
            wanted=f"one of {', '.join(TARGETS)}",
            next_command="iu-gates rollback --to 009",
        )
    kept = _kept_by(target)
    order = ("082", "081", "080", "100", "090", "060", "009", "008")
    return tuple(
        Step(n, "down", BY_NAME[n].lane, BY_NAME[n].is_ddl, BY_NAME[n].summary)
        for n in order
        if n in applied and n not in kept
    )


def _kept_by(target: str) -> set[str]:
    kept: set[str] = set()
    todo = [] if target == "base" else [target, *(["100"] if target in ("080", "081") else [])]
    todo += ["080"] if target in ("090", "100") else []
    while todo:
        name = todo.pop()
        kept.add(name)
        todo += BY_NAME[name].needs
    return kept


def upgrade(
    settings: Settings,
    revision: str,
    *,
    gate: str,
    stops_seen: list[int],
    notify: Callable[[str], None],
) -> None:
    """Apply one revision in its own transaction, trying again while a lock cannot be had."""
    from alembic import command

    patience = locks.Patience(settings, notify)
    attributes = _attributes(settings, gate, stops_seen, patience)
    patience.call(partial(_run, command.upgrade, attributes, revision))


def downgrade(
    settings: Settings,
    target: str,
    *,
    stops_seen: list[int] | None = None,
    notify: Callable[[str], None] = lambda _: None,
    require: Callable[[str], object] = lambda _: None,
) -> None:
    """
    Walk down to a target of `TARGETS` or of Alembic's own kind, such as ``runtime@base``.

    `require` is called with each revision right before it is undone, and may raise.
    """
    from alembic import command

    with db.connect(settings, "rollback") as conn:
        applied = list_applied(conn)
    patience = locks.Patience(settings, notify)
    attributes = _attributes(settings, "rollback", stops_seen, patience)
    attributes["before_step"] = _look_and_require(patience.look, require)
    for part in TARGETS.get(target, (target,)):
        if _undoes(part, applied):
            patience.call(partial(_run, command.downgrade, attributes, part))


def _look_and_require(
    look: Callable[..., dict[str, str]], require: Callable[[str], object]
) -> Callable[..., dict[str, str]]:
    def look_first(
        conn: Conn, revision: str, direction: Direction, names: Mapping[str, str]
    ) -> dict[str, str]:
        options = look(conn, revision, direction, names)
        require(revision)
        return options

    return look_first


def _undoes(part: str, applied: tuple[str, ...]) -> bool:
    """Tell whether a target undoes anything: Alembic raises where a lane is below it already."""
    lane, _, revision = part.rpartition("@")
    if not lane:
        return True
    above = [r.name for r in REVISIONS if r.lane == lane]
    above = above if revision == "base" else above[above.index(revision) + 1 :]
    return any(name in applied for name in above)


def _run(walk: Callable[..., None], attributes: Mapping[str, Any], target: str) -> None:
    # A new configuration for each try: env.py leaves its variables in it.
    with _translated():
        walk(make_config(attributes), target)


def bootstrap(settings: Settings) -> None:
    """Make or renew the control schema, and record the site key; no lane moves."""
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    patience = locks.Patience(settings, lambda _: None)
    attributes = _attributes(settings, "host", None, patience) | {"bootstrap": True}

    def make() -> None:
        cfg = make_config(attributes)
        script = ScriptDirectory.from_config(cfg)
        with _translated(), EnvironmentContext(cfg, script, fn=lambda *_: []):
            script.run_env()

    patience.call(make)


def render_sql(names: Mapping[str, str], revision: str, direction: str = "up") -> list[str]:
    """Return the SQL texts of one revision as they would run, under the host's names."""
    folder = next((migrations_dir() / "versions").glob(f"{revision}_*/{direction}"))
    hostnames = load_module("hostnames")
    return [
        hostnames.render(path.read_text("utf-8"), names) for path in sorted(folder.glob("*.sql"))
    ]


def migrations_dir() -> Path:
    """Return where the migrations are: in the wheel, or beside the package in a checkout."""
    package = Path(__file__).parent
    inside = package / "_migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def load_module(name: str) -> Any:
    """Load a module of the migrations that is free of Alembic, such as ``hostnames``."""
    key = f"iu_gates_migrations_{name}"
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, migrations_dir() / f"{name}.py")
        if spec is None or spec.loader is None:
            raise IuGatesError(f'the migrations have no module "{name}"')
        module = importlib.util.module_from_spec(spec)
        sys.modules[key] = module
        spec.loader.exec_module(module)
    return sys.modules[key]


def make_config(attributes: Mapping[str, Any]) -> Config:
    """Return an Alembic configuration that hands `attributes` to ``env.py`` and prints nothing."""
    from alembic.config import Config

    cfg = Config(stdout=StringIO())
    cfg.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    cfg.set_main_option("prepend_sys_path", str(migrations_dir()).replace("%", "%%"))
    cfg.set_main_option("path_separator", "os")
    cfg.attributes["iu_gates"] = dict(attributes)
    return cfg


def _attributes(
    settings: Settings, gate: str, stops_seen: list[int] | None, patience: locks.Patience
) -> dict[str, Any]:
    key = config.read_site_key(settings)
    options = {**locks.timeouts(settings), "iu_gates.walk": gate}
    if stops_seen is not None:
        options["iu_gates.stops_seen"] = "{" + ",".join(str(s) for s in stops_seen) + "}"
    command = "rollback" if gate == "rollback" else "advance"
    return {
        "connect": partial(_connect, settings, command),
        "schema": settings.schema,
        "host": dict(settings.host),
        "site_key_sha256": config.hash_site_key(key) if key else None,
        "options": options,
        "before_step": patience.look,
    }


def _connect(settings: Settings, command: str) -> Conn:
    url = db.resolve_url(settings)
    return db.open_connection(url, command, settings.network_wait, autocommit=False)


class _translated:  # noqa: N801  reads as a verb at its one kind of use
    """Turn what Alembic and the database raise into our errors."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, IuGatesError):
            return
        origin = getattr(error, "orig", error)
        if isinstance(origin, psycopg.Error):
            raise db.translate(_find_loss(error) or origin) from error
        if kind := getattr(error, "kind", None):
            raise _refusal(kind, error) from error
        from alembic.util import CommandError

        if isinstance(error, CommandError):
            raise _command_error(str(error)) from error


def _find_loss(error: BaseException | None) -> psycopg.Error | None:
    """Return how the connection was lost; what the rollback then says of it hides that."""
    loss = None
    while error is not None:
        origin = getattr(error, "orig", error)
        if isinstance(origin, psycopg.OperationalError) and origin.sqlstate is None:
            loss = origin
        error = error.__context__
    return loss


def _command_error(text: str) -> IuGatesError:
    if "when matching row" in text or "rows matched" in text or "expected to match" in text:
        # Somebody else moved the same lane between our look and our step.
        return LockHeldError(
            "another walk moved this lane meanwhile",
            ident="IUG-062",
            found=text,
            means="nothing of this step was applied",
            next_command="iu-gates status",
        )
    return IuGatesError(f"Alembic said: {text}", ident="IUG-003", next_command="iu-gates doctor")


def _refusal(kind: str, error: Any) -> IuGatesError:
    cls, ident = {
        "guard": (GateError, "IUG-020"),
        "host": (GateError, "IUG-034"),
        "history": (RefusedError, "IUG-040"),
        "drift": (RefusedError, "IUG-046"),
    }[kind]
    return cls(
        error.summary, ident=ident, found="; ".join(error.findings), next_command=error.remedy
    )
