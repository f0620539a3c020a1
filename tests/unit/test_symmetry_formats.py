"""What a run of `symmetry` is for machines: JSON, JUnit, SARIF, GitHub, Markdown, the baseline."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from iu_gates.errors import UsageError
from iu_gates.render.symmetry import symmetry
from iu_gates.symmetry import Difference, advice, baseline, choice, formats
from iu_gates.symmetry.formats import Report
from iu_gates.symmetry.project import Failure, Revision
from iu_gates.symmetry.trial import Run
from iu_gates.symmetry.verdict import Result, RowsFinding

WALK = Revision("base ← heads", (), (), (), "", Path())
TYPE_LEFT = Difference("type", "public.color", "exists", before=False, after=True)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Give a run with one revision of each kind of outcome; each has a file."""

    def revision(name: str) -> Revision:
        path = tmp_path / "versions" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"revision = {name!r}\n", "utf-8")
        return Revision(name, (), (), (), f"what {name} does", path)

    results = (
        Result(revision("good"), "symmetric", seconds=0.25),
        Result(revision("left"), "asymmetric", differences=(TYPE_LEFT,)),
        Result(
            revision("bad"),
            "downgrade fails",
            failure=Failure(
                "ProgrammingError", "no\x1b[31m <table>, 100%\nsecond", "42P01", "bad.py:7"
            ),
        ),
        Result(revision("rows"), "rows differ", rows=(RowsFinding("public.t", 3, 2),)),
        Result(revision("dark"), "cannot judge", "its upgrade fails"),
    )
    return Run(results, None, ("own",), 180000, 1.5)


@pytest.fixture
def report(run: Run, tmp_path: Path) -> Report:
    """Give the run, held against an empty baseline."""
    return Report(run, baseline.Baseline({}), tmp_path)


def test_json_has_every_finding_with_its_advice(report: Report) -> None:
    """
    A reader of JSON gets object, attribute, before and after, meaning, and the missing line.
    """
    data = json.loads(json.dumps(formats.to_dict(report)))
    assert data["passed"] is False
    left = data["revisions"][1]
    assert left["file"] == "versions/left.py"
    assert left["differences"] == [
        {
            "kind": "type",
            "object": "public.color",
            "attribute": "exists",
            "before": False,
            "after": True,
            "means": advice.MEANING["type"],
            "downgrade": "op.execute('drop type public.color')",
        }
    ]
    assert data["revisions"][2]["failure"]["sqlstate"] == "42P01"


def test_junit_counts_and_holds_any_text(report: Report) -> None:
    """
    One case a revision; control characters, which XML cannot hold, are replaced.
    """
    suite = ET.fromstring(formats.to_junit(report))  # noqa: S314  our own text
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "3",
        "errors": "1",
        "skipped": "0",
    }
    text = suite.findtext("testcase[@name='bad']/failure") or ""
    assert "<table>, 100%" in text
    assert "\N{REPLACEMENT CHARACTER}[31m" in text


def test_github_escapes_what_would_end_a_command(report: Report) -> None:
    """
    An annotation is one line, with its percent signs and line ends escaped.
    """
    lines = formats.to_github(report).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(
        "::error file=versions/left.py,title=asymmetric%3A left::type public"
    )
    assert "100%25" in lines[1]


def test_sarif_names_rule_place_and_level(report: Report) -> None:
    """
    SARIF 2.1.0: a rule an outcome; what cannot be judged is a warning.
    """
    log = json.loads(formats.to_sarif(report))
    (seen,) = log["runs"]
    assert log["version"] == "2.1.0"
    assert {r["ruleId"]: r["level"] for r in seen["results"]} == {
        "asymmetric": "error",
        "downgrade-fails": "error",
        "rows-differ": "error",
        "cannot-judge": "warning",
    }
    place = seen["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": "versions/left.py"}


def test_markdown_shows_each_failure_in_a_fence(report: Report) -> None:
    """
    A comment has a table of outcomes and a block for each revision that fails.
    """
    text = formats.to_markdown(report)
    assert "| symmetric | 1 |" in text
    assert text.count("````text") == 4


def test_baseline_excuses_what_it_lists_and_nothing_else(
    run: Run, report: Report, tmp_path: Path
) -> None:
    """
    Known faults pass; a new finding, a changed file or another outcome fails; a fixed one is said.
    """
    path = tmp_path / "known.json"
    assert baseline.write(path, report.results(), report.baseline) == 4
    known = replace(report, baseline=baseline.read(path))
    assert list(known.failures) == []

    left = run.results[1]
    more = replace(left, differences=(TYPE_LEFT, replace(TYPE_LEFT, identity="public.other")))
    assert known.known(more) is None
    assert known.known(replace(left, outcome="rows differ")) is None
    mended = replace(run, results=(run.results[0], replace(left, outcome="symmetric")))
    assert replace(known, run=mended).fixed == ("left",)

    left.revision.path.write_text("# changed\n", "utf-8")
    assert [failed.revision.name for failed in known.failures] == ["left"]


def test_names_and_findings_break_no_format(report: Report, tmp_path: Path) -> None:
    """
    Spaces, backticks, pipes, line ends and what XML cannot hold, in names, paths and findings.
    """
    odd = "a`b|c ````\x00\ud800\uffff d,e:f"
    path = tmp_path / "a b`c.py"
    path.write_text("")
    revision = Revision("x`|y", (), (), (), "", path)
    result = Result(revision, "asymmetric", odd)
    run = replace(report.run, results=(result,), walk=replace(result, revision=WALK))
    strange = replace(report, run=run)

    ET.fromstring(formats.to_junit(strange))  # noqa: S314  our own text
    (seen,) = json.loads(formats.to_sarif(strange))["runs"]
    place = seen["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": "a%20b%60c.py"}
    assert seen["results"][1]["locations"] == []
    text = formats.to_markdown(strange)
    assert "**``x`|y``**" in text
    assert text.count("`````") == 4, "longer than what is in them"
    annotations = formats.to_github(strange).splitlines()
    assert len(annotations) == 2
    assert annotations[1].startswith("::error title=asymmetric%3A base")


def test_baseline_of_a_part_keeps_the_rest(run: Run, report: Report, tmp_path: Path) -> None:
    """
    Written anew when only some revisions were tried, it keeps what was known of the others.
    """
    path = tmp_path / "known.json"
    baseline.write(path, report.results(), report.baseline)
    mended = replace(run.results[1], outcome="symmetric")
    known = baseline.read(path)
    assert baseline.write(path, [mended], known, is_whole=False) == 3
    assert sorted(baseline.read(path).entries) == ["bad", "dark", "rows"]
    assert baseline.write(path, [mended], known) == 0


def test_baseline_keeps_reasons_written_by_hand(report: Report, tmp_path: Path) -> None:
    """
    Writing the file anew keeps what somebody has put down as the reason.
    """
    path = tmp_path / "known.json"
    baseline.write(path, report.results(), report.baseline)
    data = json.loads(path.read_text("utf-8"))
    data["revisions"]["left"]["reason"] = "nobody goes back past 2024"
    path.write_text(json.dumps(data), "utf-8")
    baseline.write(path, report.results(), baseline.read(path))
    assert baseline.read(path).entries["left"].reason == "nobody goes back past 2024"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 2}', '{"format": 1, "revisions": {"a": 1}}']
)
def test_file_that_is_no_baseline_is_refused(tmp_path: Path, text: str) -> None:
    """
    A file that cannot be read as a baseline excuses nothing: it is an error.
    """
    path = tmp_path / "known.json"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match="is no baseline"):
        baseline.read(path)
    with pytest.raises(UsageError, match="no baseline"):
        baseline.read(tmp_path / "not there")


def test_page_names_every_revision_and_each_finding(report: Report) -> None:
    """
    The page has a line for each revision, and no control character of a project's message.
    """
    text = str(symmetry(report, 80))
    assert "✓ good" in text
    assert "✗ left" in text
    assert "downgrade() lacks: op.execute('drop type public.color')" in text
    assert 'left out of the comparison: schema "own"' in text
    assert "\x1b" not in text


def chain_of(*names: str) -> tuple[Revision, ...]:
    """Return revisions, each following the one before."""
    before = [(), *[(n,) for n in names]]
    return tuple(
        Revision(n, b, b, (), "", Path(f"{n}.py")) for n, b in zip(names, before, strict=False)
    )


def test_range_is_both_ends_and_what_lies_between() -> None:
    """
    A:B as `alembic history` has it; names may be shortened; another branch is not between.
    """
    line = chain_of("aa", "bb", "cc", "dd")
    aside = Revision("ee", ("aa",), ("aa",), (), "", Path())
    every = (*line, aside)
    assert choice.between(every, "bb:cc") == {"bb", "cc"}
    assert choice.between(every, "b:d") == {"bb", "cc", "dd"}
    assert choice.between(every, ":bb") == {"aa", "bb"}
    assert choice.between(every, "cc:") == {"cc", "dd"}
    assert choice.between(every, "ee") == {"ee"}
    for wrong in ("zz:", "dd:aa", ":"):
        if wrong == ":":
            assert choice.between(every, wrong) == {r.name for r in every}
            continue
        with pytest.raises(UsageError):
            choice.between(every, wrong)


@pytest.mark.parametrize(
    ("difference", "line"),
    [
        (Difference("table", 'public."A b"', "exists", False, True), "op.drop_table('A b')"),  # noqa: FBT003
        (
            Difference("column", 'own.t."x.y"', "exists", False, True),  # noqa: FBT003
            "op.drop_column('t', 'x.y', schema='own')",
        ),
        (
            Difference("column", "public.t.c", "type", "integer", "bigint"),
            "op.execute('alter table public.t alter column c type integer using c::integer')",
        ),
        (
            Difference("column", "public.t.c", "default", None, "1"),
            "op.execute('alter table public.t alter column c drop default')",
        ),
        (Difference("table", "public.t", "exists", True, False), ""),  # noqa: FBT003
        (
            Difference("comment", "table public.t", "text", "a", "b"),
            "op.execute(\"comment on table public.t is 'a'\")",
        ),
    ],
)
def test_line_for_downgrade_is_derived_or_not_given(difference: Difference, line: str) -> None:
    """
    Names are split as SQL quotes them; what cannot be derived is not guessed.
    """
    assert advice.line(difference) == line


def test_baseline_excuses_the_walk_only_where_it_broke_off(tmp_path: Path) -> None:
    """
    The walk has no text to hold for: a failure at another revision is a new fault.
    """
    failure = Failure("ProgrammingError", "no", "42P01")
    known = Result(WALK, "downgrade fails", "at r5", failure=failure)
    path = tmp_path / "symmetry.json"
    baseline.write(path, [known], baseline.Baseline({}))
    written = baseline.read(path)
    assert written.covers(known) is not None
    assert written.covers(replace(known, why="at r7")) is None


def test_entry_of_a_revision_that_is_gone_is_to_be_taken_out(run: Run, tmp_path: Path) -> None:
    """
    It is named as one that was mended; the walk, and what was only not tried, are not.
    """
    path = tmp_path / "symmetry.json"
    gone = Revision("gone", (), (), (), "", tmp_path / "versions" / "left.py")
    walk = Result(WALK, "asymmetric", differences=(TYPE_LEFT,))
    baseline.write(path, [Result(gone, "asymmetric"), walk], baseline.Baseline({}))
    seen = replace(run, names=("good", "left", "bad", "rows", "dark"))
    assert Report(seen, baseline.read(path), tmp_path).fixed == ("gone",)
    assert Report(replace(seen, names=("gone",)), baseline.read(path), tmp_path).fixed == ()
