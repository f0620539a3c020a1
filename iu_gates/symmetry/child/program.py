"""
Requests and answers, until nobody asks any more.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .caller import Caller, Request
from .failure import describe
from .steps import look, walk
from .target import Target, listen
from .ways import Options, Ways


def main() -> None:
    """Run as a program."""
    options = json.loads(sys.argv[1])
    # After all else: a project's folder may have a module called "logging".
    sys.path += [str(Path(options["config"]).resolve().parent), str(Path.cwd())]
    serve(options)


def serve(options: Options) -> None:
    """Answer requests until stdin ends."""
    caller = Caller()
    target = Target()
    listen(target)
    project = Ways(options, target, caller)
    caller.say("ready")
    while caller.ask() is not None:
        try:
            answer = {"ok": True, **handle(caller.take(), target, project)}
        except BaseException as error:  # noqa: BLE001  the project's, and it is what we report
            answer = {"ok": False, **describe(error)}
        finally:
            caller.leave_fork()
            target.release()
        caller.answer(answer)


def handle(request: Request, target: Target, project: Ways) -> dict[str, Any]:
    """Do what a request asks for."""
    while True:
        target.point(request["database"], project.variables(request["database"]))
        try:
            return walk(project, request) if request["do"] != "list" else look(project, request)
        except Exception as error:
            if not project.takes_another_driver(error):
                raise
