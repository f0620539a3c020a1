"""What runs the worker: complete, and without a secret (T22)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from iu_gates import config
from iu_gates.config import Settings
from iu_gates.errors import UsageError
from iu_gates.worker.install import MAKERS, make_unit, write_unit

SECRETS = ("the-key", "the-password")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give settings from a file with a password, beside a site key."""
    key = tmp_path / "it's a key"
    key.write_text("the-key")
    monkeypatch.setenv("IU_GATES_SITE_KEY", "the-key")
    monkeypatch.delenv("IU_GATES_CONFIG", raising=False)
    file = tmp_path / "iu-gates.toml"
    file.write_text(
        f'database_url = "postgresql://me:the-password@host/app"\nsite_key_file = "{key}"\n'
    )
    return config.load(config_file=file)


@pytest.mark.parametrize("kind", MAKERS)
def test_it_names_the_settings_and_no_secret(kind: str, settings: Settings, tmp_path: Path) -> None:
    """
    Each names the settings file and its own invocation; neither key nor password is in it.
    """
    unit = make_unit(kind, settings, None, tmp_path)
    assert str(tmp_path / "iu-gates.toml") in unit.text
    assert f"IU_GATES_INVOCATION={kind}" in unit.text
    assert not any(secret in unit.text for secret in SECRETS)
    assert kind in config.INVOCATIONS


def test_without_a_settings_file_it_is_refused(settings: Settings, tmp_path: Path) -> None:
    """
    A URL in a unit would be everybody's to read: IUG-111.
    """
    with pytest.raises(UsageError) as raised:
        make_unit("cron", settings, None, tmp_path / "elsewhere")
    assert raised.value.ident == "IUG-111"


def test_unit_is_what_systemd_takes(settings: Settings, tmp_path: Path) -> None:
    """
    It is written where one says, and systemd-analyze finds no fault; what has no place is refused.
    """
    path = tmp_path / "iu-gates-worker.service"
    unit = make_unit("systemd", settings, None, tmp_path)
    assert write_unit(unit, path) == path
    assert path.read_text() == unit.text
    if analyze := shutil.which("systemd-analyze"):
        done = subprocess.run(
            [analyze, "verify", str(path)], capture_output=True, text=True, check=False
        )
        faults = [ln for ln in done.stderr.splitlines() if path.name in ln]
        assert faults == []
    with pytest.raises(UsageError, match="no place of its own") as raised:
        write_unit(make_unit("dot", settings, None, tmp_path), None)
    assert raised.value.ident == "IUG-112"
