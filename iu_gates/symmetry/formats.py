"""
A run for machines: JSON values, JUnit XML, SARIF 2.1.0, GitHub's annotations, Markdown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

from iu_gates import __version__
from iu_gates.symmetry import advice
from iu_gates.symmetry.baseline import Baseline, Known
from iu_gates.symmetry.trial import Run
from iu_gates.symmetry.verdict import Result

SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
MOST_ROWS: Final = 50
"""Findings of one revision in a Markdown table; a comment has to stay readable."""


@dataclass(frozen=True, slots=True)
class Report:
    """
    A run, held against a baseline.

    Attributes:
        run: What was seen.
        baseline: Known faults.
        root: Paths are shown relative to it.
    """

    run: Run
    baseline: Baseline
    root: Path

    def results(self) -> tuple[Result, ...]:
        """Return all results, the walk's last."""
        return (*self.run.results, *([self.run.walk] if self.run.walk else []))

    def known(self, result: Result) -> Known | None:
        """Return the entry of the baseline that excuses a result."""
        return self.baseline.covers(result)

    @property
    def failures(self) -> tuple[Result, ...]:
        """The results that fail the build: not passed, and not known."""
        return tuple(r for r in self.results() if not r.passed and self.known(r) is None)

    @property
    def fixed(self) -> tuple[str, ...]:
        """Entries of the baseline that are not needed any more."""
        return self.baseline.fixed(self.results(), self.run.names)

    def path(self, result: Result) -> str:
        """Return the revision's file, relative where it can be; "" for the walk."""
        path = result.revision.path
        if not path.name:
            return ""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def lines(result: Result) -> Iterator[str]:
    """Yield what was found of a revision, one finding at a time, advice included."""
    if result.why:
        yield result.why
    if result.failure is not None:
        yield str(result.failure)
    for difference in advice.drop_parts(result.differences):
        yield str(difference)
        if said := advice.line(difference):
            yield f"    downgrade() lacks: {said}".replace("\n", "\n                       ")
    for rows in result.rows:
        yield str(rows)
    if result.noise:
        yield f"not compared, as it comes out otherwise each time: {', '.join(result.noise)}"


def to_dict(report: Report) -> dict[str, Any]:
    """Return JSON values."""
    return {
        "passed": not report.failures,
        "server_version": report.run.server_version,
        "seconds": round(report.run.seconds, 3),
        "left_out": list(report.run.left_out),
        "restored": list(report.run.restored),
        "cached": list(report.run.cached),
        "fixed": list(report.fixed),
        "revisions": [_result(report, r) for r in report.run.results],
        "walk": _result(report, report.run.walk) if report.run.walk else None,
    }


def _result(report: Report, result: Result) -> dict[str, Any]:
    known = report.known(result)
    failure = result.failure
    wholes = advice.drop_parts(result.differences)
    return {
        "revision": result.revision.name,
        "file": report.path(result),
        "outcome": result.outcome,
        "passed": result.passed,
        "known": known.reason if known else None,
        "why": result.why,
        "failure": None
        if failure is None
        else {
            "kind": failure.kind,
            "message": failure.message,
            "sqlstate": failure.sqlstate,
            "at": failure.at,
            "output": failure.output,
        },
        "differences": [
            {
                "kind": d.kind,
                "object": d.identity,
                "attribute": d.attribute,
                "before": d.before,
                "after": d.after,
                "means": advice.meaning(d),
                "downgrade": advice.line(d) if any(d is w for w in wholes) else "",
            }
            for d in result.differences
        ],
        "rows": [
            {"table": r.table, "before": r.before, "after": r.after, "columns": list(r.columns)}
            for r in result.rows
        ],
        "noise": list(result.noise),
        "seconds": round(result.seconds, 3),
    }


def to_junit(report: Report) -> str:
    """Return JUnit XML: one test case a revision; what is known is skipped, with its reason."""
    suite = ET.Element("testsuite", name="iu-gates symmetry")
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for result in report.results():
        case = ET.SubElement(
            suite,
            "testcase",
            classname="symmetry",
            name=result.revision.name,
            time=f"{result.seconds:.3f}",
            file=report.path(result),
        )
        counts["tests"] += 1
        if known := report.known(result):
            counts["skipped"] += 1
            ET.SubElement(case, "skipped", message=_clean(f"known: {known.reason}"))
        elif not result.passed:
            name = "error" if result.outcome == "cannot judge" else "failure"
            counts["errors" if name == "error" else "failures"] += 1
            child = ET.SubElement(case, name, message=result.outcome, type=result.outcome)
            child.text = _clean("\n".join(lines(result)))
    for name, number in counts.items():
        suite.set(name, str(number))
    suite.set("time", f"{report.run.seconds:.3f}")
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def to_github(report: Report) -> str:
    """Return GitHub's workflow commands: one annotation a revision that fails."""
    said = []
    for result in report.failures:
        title = _property(f"{result.outcome}: {result.revision.name}")
        path = report.path(result)
        where = f"file={_property(path)}," if path else ""
        said.append(f"::error {where}title={title}::{_data(chr(10).join(lines(result)))}\n")
    return "".join(said)


def to_sarif(report: Report) -> str:
    """Return a SARIF log: one rule an outcome, one result a revision that fails."""
    rules = sorted({r.outcome for r in report.failures})
    results = [
        {
            "ruleId": r.outcome.replace(" ", "-"),
            "level": "warning" if r.outcome == "cannot judge" else "error",
            "message": {"text": "\n".join([f"{r.revision.name}: {r.outcome}", *lines(r)])},
            "partialFingerprints": {"revision/v1": r.revision.name},
            "locations": [_location(report, r)] if report.path(r) else [],
        }
        for r in report.failures
    ]
    driver = {
        "name": "iu-gates symmetry",
        "version": __version__,
        "rules": [
            {"id": rule.replace(" ", "-"), "shortDescription": {"text": rule}} for rule in rules
        ],
    }
    log = {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def to_markdown(report: Report) -> str:
    """Return a comment for a pull request."""
    every = report.results()
    title = "every revision can be undone" if not report.failures else "not symmetric"
    said = [f"### Upgrade/downgrade symmetry: {title}", ""]
    said += ["| outcome | revisions |", "|---|---|"]
    outcomes: dict[str, int] = {}
    for result in every:
        name = f"{result.outcome} (known)" if report.known(result) else result.outcome
        outcomes[name] = outcomes.get(name, 0) + 1
    said += [f"| {name} | {number} |" for name, number in outcomes.items()]
    for result in report.failures:
        name = _code(result.revision.name)
        said += ["", f"**{name}** {result.outcome} {_code(report.path(result))}"]
        found = list(lines(result))
        more = [f"… and {len(found) - MOST_ROWS} more"] if len(found) > MOST_ROWS else []
        fence = _fence(found)
        said += ["", f"{fence}text", *found[:MOST_ROWS], *more, fence]
    if report.fixed:
        said += ["", f"Fixed, to be taken out of the baseline: {', '.join(report.fixed)}"]
    return "\n".join(said) + "\n"


def _location(report: Report, result: Result) -> Mapping[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(Path(report.path(result)).as_posix())},
            "region": {"startLine": 1},
        }
    }


def _fence(found: Sequence[str]) -> str:
    """Return a fence that nothing in the findings ends."""
    longest = max((len(run) for run in re.findall("`+", "\n".join(found))), default=0)
    return "`" * max(4, longest + 1)


def _code(text: str) -> str:
    ticks = "``" if "`" in text else "`"
    return f"{ticks}{text}{ticks}" if text else ""


def _clean(text: str) -> str:
    """Take out what XML cannot hold."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)


_NO_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
