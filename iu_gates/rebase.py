"""
Taking a copy of the database into use: the cursors begin anew, the past is carried over.

A copy brings switches, approvals and history along, and nothing in it tells whether the original
still delivers. Three things are asked for instead. The site key: whoever has it is of this site,
and a copy on a machine without it stays dead. The operator's word (``moved``) that the original
delivers no more; where it stands in the same cluster, it has to be closed, and that is looked at.
And a transaction of its own, under the barrier, in the order of every window (`fn_iu_rebase`).

Without the key there is another way: a site of its own (``as_new_site``), with a new key. It
begins at now, stopped, with no verdict in force: the original's past is not its business.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final

from psycopg import sql

from iu_gates import config, db, site, stops
from iu_gates.config import Settings
from iu_gates.db import Conn
from iu_gates.errors import SAME, GateError, RefusedError, UsageError
from iu_gates.model import RebasePreview, RebaseResult

MORE: Final = "docs/runbooks/rebase.md"


def preview(settings: Settings, *, moved: bool, as_new_site: bool) -> RebasePreview:
    """
    Return what `rebase` would do; raise what it would raise.

    Raises:
        RefusedError: It cannot be known that this copy alone would deliver.
    """
    with db.connect(settings, "rebase") as conn:
        return _foresee(conn, settings, moved=moved, as_new_site=as_new_site)


def rebase(
    settings: Settings,
    *,
    moved: bool,
    as_new_site: bool,
    notify: Callable[[str], None] = lambda _: None,
) -> RebaseResult | None:
    """
    Take this copy into use; None if it is no copy, and nothing was done.

    Args:
        settings: Whose database, whose site key.
        moved: The operator says that the original delivers no more.
        as_new_site: Make it a site of its own, that begins at now.
        notify: Called with a line of progress.
    """
    with (
        site.walk_lock(settings, "rebase"),
        db.connect(settings, "rebase", as_owner=True) as conn,
    ):
        db.require_writable(conn)
        seen = _foresee(conn, settings, moved=moved, as_new_site=as_new_site)
        if not seen.needed:
            return None
        key = config.make_site_key(settings) if as_new_site else config.read_site_key(settings)
        notify("sequences")
        conn.execute("select iu_gates.fn_mend_sequences()")
        notify("cursors")
        with conn.transaction():
            done = _rebase(conn, settings, config.hash_site_key(key or ""), as_new_site=as_new_site)
        stops.fold(conn)
    return RebaseResult(
        {str(k): int(v) for k, v in done["carried"].items()}, as_new_site, "iu-gates advance"
    )


def _rebase(conn: Conn, settings: Settings, key: str, *, as_new_site: bool) -> Mapping[str, Any]:
    params = {"key": key, "new_site": as_new_site}
    done = db.fetch_one(conn, db.load("rebase", settings.schema), params)["done"]
    return dict(done)


def _foresee(conn: Conn, settings: Settings, *, moved: bool, as_new_site: bool) -> RebasePreview:
    db.require_installed(conn)
    seen = db.fetch_one(conn, db.load("rebase_state"))
    if seen and seen["iu_schema"] != settings.schema:
        raise UsageError(
            f'it was installed with schema "{seen["iu_schema"]}", not "{settings.schema}"',
            wanted="the schema in the settings",
            next_command=f"export IU_GATES_SCHEMA={shlex.quote(seen['iu_schema'])} && {SAME}",
        )
    if not seen or not seen["has_cursors"]:
        raise _nothing_to_rebase(conn, settings)
    key = config.read_site_key(settings)
    same_key = key is not None and config.hash_site_key(key) == seen["site_key_sha256"]
    why = _tell(conn, settings, seen)
    if not why and (same_key or not as_new_site):
        if not same_key:
            raise _no_key(settings, key, site.name_place(conn, settings))
        return RebasePreview(needed=False, why="", new_site=False)
    _require_quiet(seen)
    if as_new_site:
        _require_no_key(conn, settings, key)
    else:
        if not same_key:
            raise _no_key(settings, key, "iu-gates rebase --as-new-site")
        _require_moved(seen, moved=moved)
    return RebasePreview(needed=True, why=why or "the site key", new_site=as_new_site)


def _nothing_to_rebase(conn: Conn, settings: Settings) -> GateError:
    """Without 009 there is no history: a database that is not this site's can begin anew."""
    is_foreign = site.find_mismatch(conn, settings) is not None
    ours = sql.Identifier(settings.schema).as_string()
    return GateError(
        "there is nothing to re-base: revision 009 is not in this database",
        ident="IUG-033",
        wanted="the cursors of 009",
        means="a site key that was only lost can be put back; else it begins anew: without 009"
        " there is no history, and the ledger goes with its schema"
        if is_foreign
        else "",
        next_command=f"drop schema if exists iu_gates, {ours} cascade"
        if is_foreign
        else "iu-gates advance",
    )


def _tell(conn: Conn, settings: Settings, seen: Mapping[str, Any]) -> str:
    """Return how this is told from the database that was installed; empty if it is that."""
    if seen["cluster"] != seen["installed_cluster"]:
        return f"cluster {seen['cluster']}, installed in {seen['installed_cluster']}"
    if not seen["same_database"]:
        return "another database of the same cluster"
    if db.fetch_one(conn, db.load("rebase_cursors", settings.schema))["foreign_cursors"]:
        return "cursors of another cluster"
    return ""


def _require_quiet(seen: Mapping[str, Any]) -> None:
    if seen["subscriptions"]:
        raise RefusedError(
            "a subscription still writes into our tables",
            ident="IUG-114",
            found=", ".join(seen["subscriptions"]),
            wanted="every row of the original here, and no more to come",
            means="an event that came after would be read by a cursor that has passed it",
            next_command=f"alter subscription {_quote(seen['subscriptions'][0])} disable",
            more=MORE,
        )


def _require_moved(seen: Mapping[str, Any], *, moved: bool) -> None:
    if not moved:
        raise RefusedError(
            "that the original delivers no more cannot be seen from here",
            ident="IUG-115",
            found="a copy, and the site key of the original",
            wanted="--moved, once the original is off for good; or --as-new-site, for a clone",
            means="two installations would deliver the same events",
            next_command="iu-gates rebase --moved",
            more=MORE,
        )
    if seen["original"]:
        raise RefusedError(
            f'the original stands beside it, and is open: database "{seen["original"]}"',
            ident="IUG-114",
            wanted="an original that nobody can connect to, or none",
            means="two installations would deliver the same events",
            next_command=f"alter database {_quote(seen['original'])} allow_connections false",
            more=MORE,
        )


def _quote(name: str) -> str:
    return sql.Identifier(name).as_string()


def _no_key(settings: Settings, key: str | None, next_command: str) -> RefusedError:
    return RefusedError(
        "the site key here is " + ("another one" if key else "missing"),
        ident="IUG-113",
        found=str(settings.site_key_file),
        wanted="the key of the site that this database is of",
        means="a copy without it is a clone, and a clone never delivers",
        next_command=next_command,
        more=MORE,
    )


def _require_no_key(conn: Conn, settings: Settings, key: str | None) -> None:
    if key is not None:
        raise RefusedError(
            "there is a site key here already, of another site",
            ident="IUG-113",
            found=str(settings.site_key_file),
            wanted="no key there: a new site gets one of its own",
            means="workers with that key would serve both",
            next_command=site.name_place(conn, settings),
            more=MORE,
        )
