"""docs/gates/<gate>.md: one page a gate, with every finding by the name that is printed."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from iu_gates import audit, gates, proof
from iu_gates.backup import (
    Identity,
    LedgerFacts,
    SiteBackup,
    SiteLimits,
    judge_manifest,
    judge_site,
)
from iu_gates.backup.manifest import Manifest, SnapshotFacts
from iu_gates.evidence import Evidence, leg_findings
from iu_gates.model import GATES, Finding
from tests.docs.pages import DOCS, ROOT, read

PARTS = ("**Facts.**", "**`advance` does**", "**When it is not satisfied**")
LEG = {
    "batch_before": True,
    "drained": True,
    "event_during": True,
    "after_barrier": 0,
    "back": True,
    "seconds": 0.1,
}


def list_literal_names(gate: str) -> set[str]:
    """Return the names of findings that stand as plain texts in the gate's module."""
    tree = ast.parse(read(f"iu_gates/gates/{gate}.py"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    named = [c for c in calls if re.match(r"Finding$|as_finding$|_failed$|_judge_", _name(c.func))]
    return {
        c.args[0].value
        for c in named
        if isinstance(c.args[0], ast.Constant) and isinstance(c.args[0].value, str)
    }


def list_other_names(gate: str) -> set[str]:
    """Return the names of findings that a gate takes over from elsewhere."""
    if gate == "backup":
        return {f.name for f in [*judge_manifest(**_make_manifest()), *_judge_site()]}
    if gate == "dry_run":
        return set(audit.FAULTS.values())
    if gate in ("disable_proven", "live"):
        legs = [{"scope": scope, **LEG} for scope in ("route", "gate")]
        return {f.name for f in leg_findings(Evidence(1, None, {"legs": legs}))}
    return {"waived"} if gate == "rehearsal" else set()


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _make_manifest() -> dict[str, Any]:
    now, here = datetime.now(UTC), Identity(1, 1, "app", 180000)
    manifest = Manifest("a.dump", "0" * 64, 1, 1, here, now, now, now, SnapshotFacts(), {})
    limits = {"ledger": LedgerFacts(), "now": now, "max_age": timedelta(minutes=60)}
    return {"manifest": manifest, "identity": here, **limits}


def _judge_site() -> list[Finding]:
    now, here, day = datetime.now(UTC), Identity(1, 1, "app", 180000), timedelta(days=1)
    said = SiteBackup("a", "other", now, now, "", here, "dba", now, 1)
    return judge_site(said, identity=here, now=now, limits=SiteLimits(day, day))


@pytest.mark.parametrize("gate", GATES)
def test_page_has_its_parts(gate: str) -> None:
    """
    Each page says what the gate asks, what it looks at, what advance does, and what to do.
    """
    page = read(f"docs/gates/{gate}.md")

    assert page.startswith(f"# Gate `{gate}`\n")
    assert [part for part in PARTS if part not in page] == []


@pytest.mark.parametrize("gate", GATES)
def test_page_names_every_finding(gate: str) -> None:
    """
    Each finding has its line, under the name that `advance` prints.
    """
    page = read(f"docs/gates/{gate}.md")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| ")]
    names = list_literal_names(gate) | list_other_names(gate)

    assert names
    assert [name for name in sorted(names) if not any(name in row for row in rows)] == []


def test_there_is_no_other_page() -> None:
    """
    Each page in the folder is of a gate that there is.
    """
    assert {path.stem for path in (DOCS / "gates").glob("*.md")} == set(GATES)
    assert set(gates.BY_NAME) == set(GATES)


def test_package_map_names_every_check_of_the_proof() -> None:
    """
    The map of the consumer proof has each check under the name that `prove` prints.
    """
    page = read("docs/package-map.md")
    names = [*proof.MEANING.values(), "left behind by the proof"]

    assert '"left behind by the proof"' in (ROOT / "iu_gates" / "proof.py").read_text("utf-8")
    assert [name for name in names if f'"{name}"' not in page] == []
