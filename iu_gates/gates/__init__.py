"""The mandatory gates: one file each, a `collect` that reads and a `judge` that decides."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Final

from iu_gates.gates import (
    approval,
    backup,
    canary,
    check_relaxed,
    disable_proven,
    dry_run,
    host,
    invocation,
    live,
    rehearsal,
    seam,
    substrate,
)

BY_NAME: Final[Mapping[str, ModuleType]] = {
    "host": host,
    "backup": backup,
    "substrate": substrate,
    "invocation": invocation,
    "dry_run": dry_run,
    "seam": seam,
    "check_relaxed": check_relaxed,
    "disable_proven": disable_proven,
    "rehearsal": rehearsal,
    "approval": approval,
    "canary": canary,
    "live": live,
}
