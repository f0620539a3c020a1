"""
Histories: read from files and repositories, made up, chosen and split.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iu_gates import history as history_package
from iu_gates.errors import UsageError
from iu_gates.history import (
    MIN_APPLIED,
    History,
    Version,
    choose,
    generate,
    parse_instant,
    read_jsonl,
    read_repository,
    split,
)
from iu_gates.history.parts import MIN_DISABLED
from iu_gates.history.repository import parse_log, unit_name

GIT = shutil.which("git") or "git"
MakeFile = Callable[..., Path]


def line(unit: str = "a", version_seq: int = 1, **more: Any) -> str:
    """Return a line of a history file."""
    return json.dumps({"unit": unit, "version_seq": version_seq, **more})


@pytest.fixture
def make_file(tmp_path: Path) -> MakeFile:
    """Give a maker of history files: texts are lines, bytes are taken as they are."""

    def make(*lines: str | bytes, name: str = "history.jsonl") -> Path:
        path = tmp_path / name
        data = b"".join(x if isinstance(x, bytes) else x.encode() + b"\n" for x in lines)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return make


class Repository:
    """A git repository made for a test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, **environment: str) -> str:
        """Run git in the repository and return what it says."""
        identity = {
            f"GIT_{who}_{x}": "t@t" for who in ("AUTHOR", "COMMITTER") for x in ("NAME", "EMAIL")
        }
        environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere", **identity, **environment}
        return subprocess.run(
            [GIT, "-C", str(self.path), *arguments],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def commit(self, files: Mapping[Any, str | None] = {}, **environment: str) -> str:
        """Commit files with these texts (None deletes), and return the commit."""
        for name, text in files.items():
            file = os.path.join(os.fsencode(self.path), os.fsencode(name))  # noqa: PTH118 - bytes
            if text is None:
                os.unlink(file)  # noqa: PTH108 - bytes
                continue
            os.makedirs(os.path.dirname(file), exist_ok=True)  # noqa: PTH103, PTH120 - bytes
            with open(file, "w") as stream:  # noqa: PTH123 - bytes
                stream.write(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=x", **environment)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Give a repository without a commit."""
    return Repository(tmp_path / "a repo")


def numbered(history: History) -> list[tuple[str, int]]:
    """Return unit and number of each version."""
    return [(version.unit, version.version_seq) for version in history.versions]


# ---------------------------------------------------------------- a file


@pytest.mark.parametrize("name", ["history.jsonl", "history.jsonl.gz"])
def test_file_is_read_in_its_order(make_file: MakeFile, name: str) -> None:
    """
    A file gives its versions in its order, plain or gzipped, and counts them.
    """
    path = make_file(
        line("a", 1, commit="c", committed_at="2020-03-07T17:10:08+00:00", blob="b"),
        "",
        line("b", 1, commit=None, other=[1]),
        line("a", 3),
        name=name,
    )

    history = read_jsonl(path)

    assert history.versions == (
        Version("a", 1, "c", "2020-03-07T17:10:08+00:00", "b"),
        Version("b", 1),
        Version("a", 3),
    )
    assert (history.units, history.applied, history.title) == (2, 1, name)


def test_gzip_is_known_by_content(make_file: MakeFile) -> None:
    """
    A gzipped file with a plain name is read all the same.
    """
    path = make_file(line(), name="x.gz")

    assert read_jsonl(path.rename(path.with_suffix(".jsonl"))).units == 1


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("{", "not JSON at character"),
        ("[]", "expected an object, got [] instead"),
        (b"\xff\n", "not UTF-8 at byte 1"),
        ("[" * 100_000, "nested too deeply"),
        ('{"unit": "a", "version_seq": ' + "9" * 5000 + "}", "digits"),
        (b"x" * (1 << 20) + b"xx\n", "longer than 1,048,576 bytes"),
        ('{"version_seq": 2}', 'expected "unit"'),
        (line(""), 'expected "unit" to be a text that is not empty'),
        ('{"unit": 1, "version_seq": 2}', 'expected "unit" to be a text, got 1'),
        (line("é" * 501), '"unit" is longer than 1,000 bytes'),
        (line("a\0"), '"unit" holds NUL'),
        (r'{"unit": "\ud800", "version_seq": 1}', "half a surrogate pair"),
        ('{"unit": "b"}', 'expected "version_seq" to be a whole number from 1, got null'),
        (line("b", 0), "from 1, got 0 instead"),
        (line("b", -1), "from 1, got -1 instead"),
        ('{"unit": "b", "version_seq": true}', "got true"),
        ('{"unit": "b", "version_seq": 1.0}', "got 1.0"),
        (line("b", 2**31), "got 2147483648"),
        (line("b", committed_at="yesterday"), 'got "yesterday" instead'),
        (line("b", commit=7), 'expected "commit" to be a text, got 7'),
        (line("a", 2), 'version 2 of unit "a" is there already'),
        (line("a", 1), 'version 1 of unit "a" comes after version 2; the form is oldest first'),
    ],
)  # fmt: skip
def test_bad_line_is_named(make_file: MakeFile, bad: str | bytes, what: str) -> None:
    """
    A bad line ends in a usage error with the file, the line, what is wrong and a command.
    """
    path = make_file(line("a", 1), line("a", 2), bad)

    with pytest.raises(UsageError) as caught:
        read_jsonl(path)

    assert caught.value.summary.startswith(f'history file "{path}", line 3: ')
    assert what in caught.value.summary
    assert caught.value.next_command == f"sed -n 3p {path}"
    assert len(caught.value.summary) < 300 + len(str(path))


def test_bad_line_of_a_packed_file_has_a_command_that_unpacks(make_file: MakeFile) -> None:
    """
    The command that shows a bad line unpacks a gzipped file and quotes its name.
    """
    path = make_file("{", name="a b.gz")

    with pytest.raises(UsageError) as caught:
        read_jsonl(path)

    assert caught.value.next_command == f"zcat '{path}' | sed -n 1p"


@pytest.mark.parametrize("lines", [(), ("",), (b"   \n",)])
def test_empty_file_is_refused(make_file: MakeFile, lines: tuple[str, ...]) -> None:
    """
    A file without a version is a usage error with a next command.
    """
    with pytest.raises(UsageError, match="is empty") as caught:
        read_jsonl(make_file(*lines))

    assert caught.value.next_command


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    """
    A missing file, a folder, and a gzip that is cut off or flipped are usage errors.
    """
    packed = gzip.compress(b"".join(line(f"{x}").encode() + b"\n" for x in range(999)))
    (tmp_path / "cut.gz").write_bytes(packed[:-20])
    (tmp_path / "flipped.gz").write_bytes(packed[:-6] + b"\0\0" + packed[-4:])
    (tmp_path / "folder").mkdir()

    for name in ("missing", "cut.gz", "flipped.gz", "folder"):
        with pytest.raises(UsageError, match="cannot be read") as caught:
            read_jsonl(tmp_path / name)
        assert caught.value.found
        assert caught.value.next_command


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-03-13T23:27:19+13:00", "2020-03-13T10:27:19+00:00"),
        ("2020-03-13T23:27:19", "2020-03-13T23:27:19+00:00"),
        ("2020-03-13T23:27:19+51:43", None),
        ("0000-00-00T00:00:00Z", None),
        ("0001-01-01T00:00:00+10:00", None),
        (None, None),
    ],
)
def test_instant_is_what_a_database_can_hold(text: str | None, expected: str | None) -> None:
    """
    A time becomes UTC; one that no database could hold is none at all.
    """
    instant = parse_instant(text)

    assert (instant and instant.isoformat()) == expected


# ---------------------------------------------------------------- a repository


def test_repository_gives_each_change_of_each_file(repository: Repository) -> None:
    """
    Each commit that changed a file is a version of it, oldest first, with its content's name.
    """
    first = repository.commit(
        {"a": "1", "d/b": "1"}, GIT_COMMITTER_DATE="2020-01-02T03:04:05+06:00"
    )
    repository.commit()
    second = repository.commit({"a": "2"})

    history = read_repository(repository.path)

    assert numbered(history) == [("a", 1), ("d/b", 1), ("a", 2)]
    assert [x.commit for x in history.versions] == [first, first, second]
    assert history.versions[0].committed_at == "2020-01-02T03:04:05+06:00"
    assert history.versions[2].blob == repository.git("rev-parse", "HEAD:a")
    assert history.title == "a repo"
    assert "2 commits" in history.description


def test_deleted_file_that_comes_back_goes_on_with_its_numbers(repository: Repository) -> None:
    """
    A deletion makes no version, and a file made again is not created a second time.
    """
    repository.commit({"a": "1", "b": "1"})
    repository.commit({"a": None})
    repository.commit({"a": "3"})

    assert numbered(read_repository(repository.path)) == [("a", 1), ("b", 1), ("a", 2)]


def test_renamed_file_is_a_new_unit(repository: Repository) -> None:
    """
    A unit is a path, also where the repository's settings look for renames.
    """
    repository.git("config", "diff.renames", "copies")
    repository.commit({"a": "the same text\n" * 9})
    repository.commit({"a": None, "b": "the same text\n" * 9})

    assert numbered(read_repository(repository.path)) == [("a", 1), ("b", 1)]


def test_merge_counts_each_change_once(repository: Repository) -> None:
    """
    Both sides of a merge are walked; the merge itself is no change.
    """
    repository.commit({"a": "1"})
    repository.git("checkout", "--quiet", "-b", "side")
    side = repository.commit({"a": "2"})
    repository.git("checkout", "--quiet", "main")
    main = repository.commit({"b": "1"})
    repository.git("merge", "--quiet", "--no-ff", "--no-edit", "side")

    history = read_repository(repository.path)

    assert Counter(numbered(history)) == Counter([("a", 1), ("a", 2), ("b", 1)])
    assert {x.commit for x in history.versions} >= {side, main}


def test_name_can_be_any_bytes(repository: Repository) -> None:
    """
    Names with spaces, quotes, newlines, a colon in front or broken UTF-8 are read, as text.
    """
    names = [b"a \"b\"\n'c' d", b":100644 x", "é".encode(), b"\xff\xe9", rb"\xff\xe9", b"\nx"]
    repository.commit(dict.fromkeys(names, "1"))
    repository.commit(dict.fromkeys(names, "2"))

    history = read_repository(repository.path)

    units = {version.unit for version in history.versions}
    assert units == {"a \"b\"\n'c' d", ":100644 x", "é", r"\xff\xe9", r"\\xff\\xe9", "\nx"}
    assert history.applied == len(names)
    assert all(version.unit.encode() for version in history.versions)


@given(st.lists(st.sampled_from([b"\\", b"x", b"f", b"\xff", "é".encode(), b"\n"]), max_size=12))
def test_name_can_be_had_back_from_its_text(pieces: list[bytes]) -> None:
    """
    The text of a name says which bytes it was made of, so no two names are one unit.
    """
    name = b"".join(pieces)

    escaped = unit_name(name).encode()

    bare = re.sub(
        rb"\\(\\|x[0-9a-f]{2})",
        lambda found: bytes.fromhex(found[1][1:].decode()) or b"\\",
        escaped,
    )
    assert bare == name


def test_long_name_is_cut_and_stays_its_own() -> None:
    """
    Names above 1,000 bytes that differ at the end alone stay different.
    """
    names = {unit_name(b"a" * 1000 + tail) for tail in (b"x", b"y")}

    assert len(names) == 2
    assert max(len(name.encode()) for name in names) <= 1000


def test_time_that_is_none_is_left_out() -> None:
    """
    A commit whose clock no database could hold has no time, and counts all the same.
    """
    tokens = [b"c0ffee 0000-01-01T00:00:00+51:43", b"\n:0 1 0 b10b A", b"a"]

    assert list(parse_log(tokens)) == [Version("a", 1, "c0ffee", None, "b10b")]


def test_shallow_clone_is_read_and_says_so(repository: Repository, tmp_path: Path) -> None:
    """
    A shallow clone gives what it has, and its description says that the rest is missing.
    """
    for number in range(3):
        repository.commit({"a": str(number)})
    repository.git("clone", "--quiet", "--depth=2", f"file://{repository.path}", f"{tmp_path}/c")

    history = read_repository(tmp_path / "c")

    assert numbered(history) == [("a", 1), ("a", 2)]
    assert "shallow" in history.description


def test_folder_inside_and_bare_repository_are_read(repository: Repository, tmp_path: Path) -> None:
    """
    A folder inside a repository stands for the whole; a bare repository is one too.
    """
    repository.git("config", "diff.relative", "true")
    repository.commit({"d/a": "1", "b": "1"})
    repository.git("clone", "--quiet", "--bare", ".", f"{tmp_path}/bare.git")

    for path in (repository.path / "d", tmp_path / "bare.git"):
        assert numbered(read_repository(path)) == [("b", 1), ("d/a", 1)]


def test_foreign_settings_change_nothing(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Settings of the repository and a hook's environment do not change what is read.
    """
    settings = {"log.showRoot": "false", "log.showSignature": "true", "diff.orderFile": "none"}
    for key, value in settings.items():
        repository.git("config", key, value)
    repository.commit({"a": "1"})
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))

    assert numbered(read_repository(repository.path)) == [("a", 1)]


def test_repository_of_another_user_is_read(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A repository that belongs to another user is read, though git calls that dubious.
    """
    repository.commit({"a": "1"})
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(subprocess.CalledProcessError):
        repository.git("log", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")

    assert numbered(read_repository(repository.path)) == [("a", 1)]


def test_what_is_no_repository_is_refused(tmp_path: Path) -> None:
    """
    A plain folder, a missing one and a repository without commits are usage errors.
    """
    Repository(tmp_path / "empty")
    (tmp_path / "plain").mkdir()
    wanted = {
        "plain": "is not a git repository",
        "missing": "is not a git repository",
        "empty": "has no commits",
    }

    for name, what in wanted.items():
        with pytest.raises(UsageError, match=what) as caught:
            read_repository(tmp_path / name)
        assert caught.value.next_command


def test_broken_repository_is_refused(repository: Repository) -> None:
    """
    Where git stops half-way, what it said is in the error, and no short history comes out.
    """
    repository.commit({"a": "1", "d/b": "1"})
    tree = repository.git("rev-parse", "HEAD^{tree}")
    repository.commit({"a": "2"})
    (repository.path / ".git/objects" / tree[:2] / tree[2:]).unlink()

    with pytest.raises(UsageError, match="cannot be read") as caught:
        read_repository(repository.path)

    assert tree in (caught.value.found or "")


def test_missing_git_is_said(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Without git a repository is a usage error that says how to get git.
    """
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UsageError, match="git cannot be run") as caught:
        read_repository(repository.path)

    assert caught.value.next_command == "apt-get install git"


# ---------------------------------------------------------------- generated


@given(st.integers(), st.integers(1, 50), st.integers(0, 300))
def test_generated_history_is_what_was_asked(seed: int, units: int, more: int) -> None:
    """
    A generated history has the units and versions asked for, numbered without a gap.
    """
    history = generate(seed, units, units + more)

    assert (history.units, history.applied) == (units, more)
    counted: Counter[str] = Counter()
    for version in history.versions:
        counted[version.unit] += 1
        assert version.version_seq == counted[version.unit]
        assert parse_instant(version.committed_at)


def test_generated_history_is_always_the_same() -> None:
    """
    The same seed gives the same history, another seed another; the title says what it is.
    """
    assert generate(7) == generate(7)
    assert generate(7).versions != generate(8).versions
    assert "generated" in generate().title


@pytest.mark.parametrize(("units", "versions"), [(0, 5), (6, 5), (0, 0)])
def test_impossible_history_is_not_generated(units: int, versions: int) -> None:
    """
    Fewer versions than units, or none, is a usage error.
    """
    with pytest.raises(UsageError):
        generate(1, units, versions)


# ---------------------------------------------------------------- parts


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draw a history in which up to six units change in any order."""
    counted: Counter[str] = Counter()
    versions = []
    size = draw(st.integers(0, 200))
    for unit in draw(st.lists(st.sampled_from("abcdef"), min_size=size, max_size=size)):
        counted[unit] += 1
        versions.append(Version(unit, counted[unit]))
    return History("drawn", "drawn", tuple(versions))


@given(histories())
def test_parts_are_the_history_again(history: History) -> None:
    """
    The four parts in order are the history, each with a change, the canary with one, its last.
    """
    if history.applied < MIN_APPLIED:
        with pytest.raises(UsageError, match="too short"):
            split(history)
        return

    parts = split(history)

    assert sum(parts, ()) == history.versions
    assert all(any(x.is_applied for x in part) for part in parts)
    assert sum(x.is_applied for x in parts.disabled) >= MIN_DISABLED
    assert [x.is_applied for x in parts.canary] == [False] * (len(parts.canary) - 1) + [True]


def test_shortest_history_is_played_and_a_shorter_one_refused() -> None:
    """
    A history with just enough changes has its four parts; with one less it is refused.
    """
    versions = tuple(Version("a", seq) for seq in range(1, MIN_APPLIED + 2))

    parts = split(History("just enough", "drawn", versions))

    assert sum(parts, ()) == versions
    assert all(any(x.is_applied for x in part) for part in parts)
    with pytest.raises(UsageError, match="too short"):
        split(History("one less", "drawn", versions[:-1]))


def test_parts_of_a_long_history_have_sensible_sizes() -> None:
    """
    Nearly half is dry evidence, a tenth comes while disabled, the rest is delivered live.
    """
    parts = split(generate(1, 100, 1100))

    assert [sum(x.is_applied for x in part) for part in parts] == [450, 1, 449, 100]


# ---------------------------------------------------------------- the choice


def enough_changes(repository: Repository) -> Repository:
    """Return the repository with as many changes as the demo needs."""
    for number in range(MIN_APPLIED + 1):
        repository.commit({"a": str(number)})
    return repository


def test_file_wins_over_repository(repository: Repository, make_file: MakeFile) -> None:
    """
    A file that is named is played, whatever repository is named or stands around.
    """
    path = make_file(*(line("f", seq) for seq in range(1, MIN_APPLIED + 2)))
    enough_changes(repository)

    assert choose(repository.path, path, repository.path).title == path.name


def test_repository_that_is_named_wins_over_the_folder(
    repository: Repository, tmp_path: Path
) -> None:
    """
    A repository that is named is played, not the one that one stands in.
    """
    other = enough_changes(Repository(tmp_path / "other"))
    enough_changes(repository)

    assert choose(other.path, None, repository.path).title == "other"


def test_folder_one_stands_in_is_the_default(repository: Repository) -> None:
    """
    With nothing named, the repository that one stands in is played.
    """
    enough_changes(repository).commit({"d/e": "1"})

    assert choose(None, None, repository.path / "d").title == "a repo"


def test_checkout_of_the_code_is_next(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Outside of any repository, that of the code is played.
    """
    enough_changes(repository)
    chosen = history_package.choose.__globals__
    monkeypatch.setitem(chosen, "checkout", lambda: repository.path)

    assert choose(None, None, tmp_path).title == "a repo"


@pytest.mark.parametrize("case", ["nothing", "no commits", "too few", "no git"])
def test_default_that_cannot_be_is_generated_and_says_why(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """
    With nothing named and nothing fit to be played, a generated history says why it is one.
    """
    monkeypatch.setitem(history_package.choose.__globals__, "checkout", lambda: None)
    if case == "too few":
        repository.commit({"a": "1"})
    if case == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))

    history = choose(None, None, tmp_path if case == "nothing" else repository.path)

    why = {
        "nothing": "is not in a git repository",
        "no commits": "has no commits",
        "too few": "too short",
        "no git": "git cannot be run",
    }[case]
    assert why in history.description
    assert history.versions == generate().versions


def test_named_source_that_is_too_short_is_refused(
    repository: Repository, make_file: MakeFile
) -> None:
    """
    What was named is played or refused, never replaced.
    """
    repository.commit({"a": "1"})

    for repo, file in ((repository.path, None), (None, make_file(line()))):
        with pytest.raises(UsageError, match="too short"):
            choose(repo, file, repository.path)
