"""Somebody who knows nothing but what the last command said: does that, and calls again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.acceptance.site import Site, Writer
from tests.support.cli import Answer

MOST_CALLS: Final = 40
"""Twelve gates, and what each of them waits for; more is going round in circles."""


class Newcomer:
    """
    Walks a site by what `advance` says alone.

    Args:
        site: Whose settings file is not there yet, unless `settled`.
        after: Called after each call of `advance`, with its answer.
        settled: The settings are written, so that no gate asks for one.
    """

    def __init__(
        self,
        site: Site,
        after: Callable[[Answer], None] = lambda _: None,
        *,
        settled: bool = False,
    ) -> None:
        self.site = site
        self.after = after
        self.host: Writer | None = None
        self._worker_runs = False
        self._settings: dict[str, str] = {}
        if settled:
            site.configure()

    def advance(self, *options: str) -> list[Answer]:
        """Call `advance` until it is at live, or `--to` is reached; return all answers."""
        answers: list[Answer] = []
        while len(answers) < MOST_CALLS:
            answer = self.site.run("advance", *options)
            answers.append(answer)
            self.after(answer)
            if answer.code == 0 and ("--to" in options or self._is_at_live(answer)):
                return answers
            if answer.code != 0:
                self.follow(answer.expect(3))
        raise AssertionError(f"no end after {len(answers)} calls; the last: {answers[-1]}")

    def follow(self, answer: Answer) -> None:
        """Do what a command says that comes next; fail if that is nothing one could do."""
        said = answer.next_command
        steps = [step for sign, step in self._steps().items() if sign in said]
        assert steps or said.startswith("iu-gates advance"), f"what to do about this? {answer}"
        for step in steps:
            step()

    def _steps(self) -> Mapping[str, Callable[[], None]]:
        return {
            "IU_GATES_HOST_SCHEMA": lambda: self._set("host", '[host]\nschema = "cms"\n'),
            "IU_GATES_INVOCATION": lambda: self._set("", 'invocation = "manual"\n'),
            "createdb": lambda: self.site.execute("alter role {} createdb", self.site.operator),
            "iu-gates approve": self._approve,
            "iu-gates worker run": self._run_worker,
        }

    @staticmethod
    def _is_at_live(answer: Answer) -> bool:
        if answer.out.startswith("{"):
            return answer.json["next_gate"] is None and not answer.json["reports"]
        return "at live: nothing to do" in answer.out

    def _set(self, table: str, text: str) -> None:
        # In the order in which TOML wants them: what belongs to no table first.
        self._settings[table] = text
        whole = "\n".join(self._settings[key] for key in sorted(self._settings))
        (self.site.folder / "iu-gates.toml").write_text(whole, "utf-8")

    def _approve(self) -> None:
        self.site.grant_groups()
        self.site.run("approve", "--yes", login=self.site.approver).expect(0)

    def _run_worker(self) -> None:
        if not self._worker_runs:
            self.site.start_quietly("worker", "run", login=self.site.worker)
            self._worker_runs = True
        elif self.host is None:
            # It runs, and is named again: it waits for the host's changes.
            self.host = self.site.start_host()
