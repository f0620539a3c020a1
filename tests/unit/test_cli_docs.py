"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

from iu_gates.cli.docs import make_docs

ROOT = Path(__file__).parents[2]


def test_cli_docs_are_current() -> None:
    """
    After a change of the commands: scripts/make-cli-docs.
    """
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == make_docs()
