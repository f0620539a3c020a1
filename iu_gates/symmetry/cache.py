"""
Verdicts that need not be found again.

A verdict is kept under a key of everything that is known before the trial, and with a list of what
the project's processes read until its end; it holds as long as both are the same.

    key    the ground (`iu_gates.symmetry.ground`), the chain (name, needs and text of this revision
           and of each that the trunk went through before it), the catalogs before and after it
    reads  files that Python opened and folders that it listed, but for the revisions' own, and
           environment variables

What cannot be seen: a revision that asks the clock, the network, a process of its own, or whether
a file is there. One that starts a process is not kept, nor a verdict that a time-out or a lost
database gave, nor one whose inputs were written after the run began.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from iu_gates.symmetry.child.recorder import hash_names
from iu_gates.symmetry.difference import Difference
from iu_gates.symmetry.ground import list_homes
from iu_gates.symmetry.project import Failure, Project, Revision
from iu_gates.symmetry.verdict import Picture, Result, RowsFinding

FORMAT: Final = 2
UNUSED_DAYS: Final = 60
UNSURE: Final = ("Timeout", "Died")
VOLATILE: Final = re.compile(
    "PG[A-Z_]+|GITHUB_.*|RUNNER_.*|ACTIONS_.*|CI_.*|BUILD_.*|BUILDKITE.*|JENKINS_.*|TEAMCITY_.*"
    "|_|PWD|OLDPWD|SHLVL|TMPDIR|COLUMNS|LINES|TERM|SSH_.*|XDG_.*|PYTEST_.*"
)
"""Variables that say which run this is, or that every step is given by us; PGOPTIONS is ground."""


class Cache:
    """
    A folder of verdicts, a JSON file each; what is broken in it counts as missing.

    Args:
        folder: Made when the first verdict is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> Any:
        """Return what is kept under a key; None if nothing is, or nothing readable."""
        path = self._path(key)
        try:
            value = json.loads(path.read_bytes())
            os.utime(path)
        except (OSError, ValueError):
            return None
        return value

    def write(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep a value; where the folder cannot be written, nothing is kept."""
        path = self._path(key)
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
                json.dump(value, file)
            Path(file.name).replace(path)

    def forget(self) -> None:
        """Remove what nobody has asked for in a long time."""
        oldest = time.time() - UNUSED_DAYS * 86400
        for path in self._folder.glob("??/*"):
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"


class Chain:
    """
    The places of one run's verdicts: each follows from those before it.

    Args:
        cache: Where they are kept.
        ground: What holds for all of them.
        project: Paths of what was read are kept relative to its folder.
        revisions: All of the project's.
    """

    def __init__(
        self,
        cache: Cache,
        ground: Mapping[str, Any],
        project: Project,
        revisions: Sequence[Revision],
    ) -> None:
        self._began = time.time()
        self._cache = cache
        self._links = [digest(ground)]
        self._texts = {r.name: _hash_file(r.path) for r in revisions}
        self._inputs = Inputs(project, revisions)

    def fork(self) -> Chain:
        """Return another one that goes on from here."""
        other = copy(self)
        other._links = list(self._links)  # noqa: SLF001  its own
        return other

    def add(self, revision: Revision) -> None:
        """Go on to the next revision of the trunk."""
        link = [revision.name, sorted(revision.needs), self._texts[revision.name]]
        self._links.append(digest([self._links[-1], *link]))

    def place(self, revision: Revision, before: Picture, after: Picture) -> Place:
        """Return where the verdict on a revision is kept, with the trunk at it."""
        catalogs = [_describe(p) for p in (before, after)]
        key = digest([FORMAT, self._links[-1], revision.name, catalogs])
        return Place(self._cache, key, self._inputs, self._began)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the verdict on one revision, or on the walk, is kept."""

    cache: Cache
    key: str
    inputs: Inputs
    began: float

    def find(self, revision: Revision) -> Result | None:
        """Return the verdict, if there is one and nothing that was read has changed."""
        entry = self.cache.read(self.key)
        try:
            if entry is None or not self.inputs.hold(entry["inputs"]):
                return None
            return _revive(revision, entry["result"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def keep(self, result: Result, reads: Iterable[str]) -> None:
        """Keep a verdict that would come out the same again."""
        failure = result.failure
        if result.outcome == "cannot judge" or (failure and failure.kind in UNSURE):
            return
        inputs = self.inputs.list(reads, self.began)
        if inputs is not None:
            kept = {k: v for k, v in asdict(result).items() if k != "revision"}
            self.cache.write(self.key, {"inputs": inputs, "result": kept})


class Inputs:
    """What the project's processes read, as it is now."""

    def __init__(self, project: Project, revisions: Sequence[Revision]) -> None:
        self._folder = project.folder.resolve()
        self._given = frozenset(project.url_variables)
        self._revisions = frozenset(str(r.path) for r in revisions)
        self._homes = tuple(list_homes(revisions))

    def list(self, reads: Iterable[str], began: float) -> dict[str, Any] | None:
        """Return the inputs that `recorder` wrote down; None if they do not say everything."""
        marked = set(reads)
        files = {line[2:] for line in marked if line.startswith("F ")} - self._revisions
        names = {line[2:] for line in marked if line.startswith("V ")} - self._given
        wanted = sorted(name for name in names if not VOLATILE.fullmatch(name))
        if "X" in marked or any(_is_newer(Path(f), began) for f in (*files, *self._revisions)):
            return None
        paths = sorted(self._relative(f) for f in files)
        told = [line[2:].split(" ", 1) for line in marked if line.startswith("D ")]
        # The migrations' own folders are ground.
        folders = [(names, f) for names, f in told if not self._is_ground(Path(f))]
        if any(hash_names(f) != names for names, f in folders):
            return None
        return {
            "files": {path: _hash_file(self._folder / path) for path in paths},
            "folders": {self._relative(f): names for names, f in sorted(folders)},
            "variables": wanted,
            "values": _hash_variables(wanted),
        }

    def hold(self, inputs: Mapping[str, Any]) -> bool:
        """Tell whether nothing has changed since."""
        return _hash_variables(inputs["variables"]) == inputs["values"] and all(
            hash_of(str(self._folder / path)) == digest_then
            for hash_of, part in ((_hash_file, "files"), (hash_names, "folders"))
            for path, digest_then in inputs[part].items()
        )

    def _is_ground(self, folder: Path) -> bool:
        return any(folder.is_relative_to(home) for home in self._homes)

    def _relative(self, path: str) -> str:
        found = Path(path)
        return str(found.relative_to(self._folder)) if found.is_relative_to(self._folder) else path


def digest(value: object) -> str:
    """Return the SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _hash_file(path: Path | str) -> str:
    """Return the SHA-256 of a file; "" where none can be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return ""


def _is_newer(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime >= moment
    except OSError:
        return False


def _hash_variables(names: Sequence[str]) -> str:
    """Return one digest of all values: none can be guessed from it by itself."""
    return digest([os.environ.get(name) for name in names])


def _describe(picture: Picture) -> str:
    return digest([[*key, value] for key, value in sorted(picture.catalog.objects.items())])


def _revive(revision: Revision, kept: Mapping[str, Any]) -> Result:
    """Return the result that was kept."""
    rows = tuple(RowsFinding(**{**r, "columns": tuple(r["columns"])}) for r in kept["rows"])
    result = Result(revision, **{k: v for k, v in kept.items() if k not in _NESTED})
    return replace(
        result,
        differences=tuple(Difference(**d) for d in kept["differences"]),
        rows=rows,
        failure=Failure(**kept["failure"]) if kept["failure"] else None,
        noise=tuple(kept["noise"]),
    )


_NESTED: Final = ("differences", "rows", "failure", "noise")
