"""Approve and reject: the vote of this login on what the ledger asks for."""

from __future__ import annotations

from iu_gates import db, refusals
from iu_gates.config import Settings, name_further
from iu_gates.db import Conn
from iu_gates.errors import AS_ANOTHER, GateError, RefusedError, UsageError
from iu_gates.model import PendingApproval, scope_gate


def fetch_pending(
    settings: Settings, digest: str | None = None, route: str | None = None
) -> PendingApproval | None:
    """
    Return the newest request that waits for votes; None without one.

    Args:
        settings: Whose ledger.
        digest: The one of this digest, or of what it begins with.
        route: The newest one of this route's package.
    """
    with db.connect(settings, "approve") as conn:
        db.require_installed(conn)
        return _pending(conn, digest, route)


def _pending(conn: Conn, digest: str | None, route: str | None = None) -> PendingApproval | None:
    params = {
        "digest": f"{digest}%" if digest else None,
        "subject": name_package(route) if route else None,
    }
    row = db.fetch_one(conn, db.load("pending_approval"), params)
    if not row:
        return None
    votes = db.fetch_all(conn, db.load("votes"), {"digest": row["digest"]})
    said = tuple(f"{v['login']}: {v['choice']}, {v['voted_at']:%Y-%m-%dT%H:%M:%SZ}" for v in votes)
    return PendingApproval(votes=said, **row)


def name_package(route: str) -> str:
    """Return under which subject the ledger has the requests for a route's approval."""
    return scope_gate("package", name_further(route))


def vote(settings: Settings, digest: str, choice: str, note: str = "") -> None:
    """
    Cast the vote of this login on a digest that the ledger asks for.

    Raises:
        UsageError: Nothing with this digest waits for approval.
        RefusedError: This login asked for it itself, or may not vote.
    """
    with (
        refusals.recorded(settings, choice, digest=digest),
        db.connect(settings, "approve") as conn,
    ):
        db.require_installed(conn)
        pending = _pending(conn, digest)
        if pending is None:
            raise UsageError(
                f'no request with the digest "{digest[:12]}"',
                ident="IUG-019",
                next_command="iu-gates approve",
            )
        if db.fetch_value(conn, "select session_user::text") == pending.requested_by:
            raise RefusedError(
                "a login does not approve what it asked for itself",
                ident="IUG-045",
                found=f'requested by "{pending.requested_by}", which is you',
                wanted="another login",
                next_command=f"iu-gates approve {AS_ANOTHER}",
            )
        conn.execute("select iu_gates.fn_vote(%s, %s, %s)", (pending.digest, choice, note))


def require_pending(settings: Settings, digest: str | None = None) -> PendingApproval:
    """Return what waits for approval, or raise that nothing does."""
    pending = fetch_pending(settings, digest)
    if pending is None:
        raise GateError(
            "nothing waits for approval",
            ident="IUG-037",
            next_command="iu-gates advance",
        )
    return pending
