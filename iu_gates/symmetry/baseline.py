"""
A file of known faults, so that a project with old ones can start today.

JSON, one entry a revision, sorted, to be committed beside ``alembic.ini``:

    {"format": 1, "revisions": {"4f2a…": {"outcome": "asymmetric", "sha256": "…",
                                          "findings": ["type public.color: is new"],
                                          "reason": "before 2026; nobody downgrades past it"}}}

An entry holds for the text of the revision that it was written for and for no finding that it does
not list: a changed revision, and a new fault of a known one, fail. An entry that is not needed any
more is reported, so that it leaves the file. Reasons written by hand are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from iu_gates.errors import UsageError
from iu_gates.symmetry.verdict import Result

FORMAT: Final = 1
NO_REASON: Final = "known since the baseline was written"


@dataclass(frozen=True, slots=True)
class Known:
    """One entry: the fault of one revision as it was when the entry was written."""

    outcome: str
    sha256: str
    findings: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """The entries by revision; empty without a file."""

    entries: Mapping[str, Known]

    def covers(self, result: Result) -> Known | None:
        """Return the entry that excuses a result, if there is one."""
        entry = self.entries.get(result.revision.name)
        if entry is None or result.passed or entry.outcome != result.outcome:
            return None
        if entry.sha256 != hash_text(result) or set(findings(result)) - set(entry.findings):
            return None
        return entry

    def fixed(self, results: Iterable[Result], names: Collection[str] = ()) -> tuple[str, ...]:
        """
        Return the revisions whose entries are not needed: they were tried and pass, or are gone.

        Args:
            results: Of the run.
            names: All revisions that the project has; nothing is gone if that is not known.
        """
        seen = {r.revision.name: r for r in results}
        gone = {n for n, e in self.entries.items() if e.sha256 and names and n not in names}
        return tuple(n for n in self.entries if n in gone or (n in seen and seen[n].passed))


def read(path: Path) -> Baseline:
    """Return the baseline in a file; raises `UsageError` if it is none."""
    try:
        data = json.loads(path.read_text("utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']}")  # noqa: TRY301  said below
        entries = {
            str(name): Known(
                str(e["outcome"]), str(e["sha256"]), tuple(e["findings"]), str(e.get("reason", ""))
            )
            for name, e in data["revisions"].items()
        }
    except FileNotFoundError as error:
        raise UsageError(
            f'no baseline "{path}"',
            ident="IUG-095",
            next_command=f"iu-gates symmetry --write-baseline {path}",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f'"{path}" is no baseline: {error}',
            ident="IUG-095",
            next_command=f"iu-gates symmetry --write-baseline {path}",
        ) from error
    return Baseline(entries)


def write(path: Path, results: Iterable[Result], before: Baseline, *, is_whole: bool = True) -> int:
    """
    Write the faults of a run, with the reasons that there were; return how many there are now.

    Args:
        path: The file.
        results: Of the run.
        before: What was known.
        is_whole: False if not all revisions were tried: what was not, stays as it was known.
    """
    tried = {r.revision.name: r for r in results}
    faults = {name: r for name, r in tried.items() if not r.passed}
    kept = {} if is_whole else {n: asdict(e) for n, e in before.entries.items() if n not in tried}
    revisions: dict[str, Any] = dict(kept)
    for name, result in faults.items():
        known = before.entries.get(name)
        revisions[name] = {
            "outcome": result.outcome,
            "sha256": hash_text(result),
            "findings": list(findings(result)),
            "reason": known.reason if known else NO_REASON,
        }
    found = {"format": FORMAT, "revisions": dict(sorted(revisions.items()))}
    text = json.dumps(found, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", "utf-8")
    return len(revisions)


def findings(result: Result) -> tuple[str, ...]:
    """Return the findings of a result, one line each, as the file lists them."""
    said = [str(d).splitlines()[0] for d in result.differences]
    said += [f"rows of {r.table}" for r in result.rows]
    if result.failure is not None:
        # The walk has no text of its own to hold for: where it broke off is part of the fault.
        where = "" if result.revision.path.name else result.why
        said.append(" ".join(filter(None, (result.failure.kind, result.failure.sqlstate, where))))
    return tuple(said)


def hash_text(result: Result) -> str:
    """Return the SHA-256 of a revision's file; "" for the walk, which has none."""
    path = result.revision.path
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
