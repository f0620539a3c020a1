"""What the wheel holds walks in an empty folder, with nothing of the checkout in reach."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.site import Site


def test_wheel_walks_to_substrate(site: Site, unpacked_wheel: Path) -> None:
    """
    In a folder with the settings alone, the wheel's own migrations are applied.
    """
    site.configure()
    there = {"PYTHONPATH": str(unpacked_wheel), "PYTHONSAFEPATH": "1"}
    answer = site.run("advance", "--to", "substrate", **there).expect(0)
    assert "applied substrate/060" in answer.out
    assert site.list_heads() == ["060"]
    assert {p.name for p in site.folder.iterdir()} == {"iu-gates.toml", "backups", ".config"}
    where = "select (facts ->> 'archive') like %s from iu_gates.ledger where kind = 'backup'"
    assert site.fetch_value(where % f"'{site.folder}/%'") is True
