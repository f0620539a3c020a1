"""docs/settings.md and docs/host-contract.md against `iu_gates.config` and `hostnames`."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from iu_gates import config, lanes
from iu_gates.config import Settings
from tests.docs.pages import list_blocks, marked_block, read

PAGE = read("docs/settings.md")
ROW = re.compile(r"^\| `(\w+)` \| (\S.*?) \| (.*?) \| .* \|$", re.MULTILINE)
TOML_ONLY = ("host", "waivers")


def test_every_setting_has_one_line() -> None:
    """
    The table holds each setting once, in the order of the code, with its variable.
    """
    rows = ROW.findall(PAGE)[: len(fields(Settings))]

    assert [name for name, _, _ in rows] == [f.name for f in fields(Settings)]
    for name, variable, _ in rows:
        assert f"`IU_GATES_{name.upper()}" in variable or name in TOML_ONLY


def test_defaults_are_those_of_the_code() -> None:
    """
    A default that the table gives is the one that is used.
    """
    written = {name: default.strip("`") for name, _, default in ROW.findall(PAGE)}
    plain = Settings()
    for field in fields(Settings):
        kind = Settings.__annotations__[field.name]
        value = getattr(plain, field.name)
        if kind == "timedelta":
            assert config.parse_duration(written[field.name]) == value
        elif kind in ("int", "str", "Path") and field.name != "site_key_file":
            assert written[field.name] == str(value)


def test_example_is_complete_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The example names every setting and every name of the host, and is accepted as a file.
    """
    for name in [f.name for f in fields(Settings)]:
        monkeypatch.delenv(f"IU_GATES_{name.upper()}", raising=False)
    text = marked_block(PAGE, "example")
    file = tmp_path / "iu-gates.toml"
    file.write_text(text, "utf-8")

    settings = config.load(config_file=file)

    assert set(tomllib.loads(text)) == {f.name for f in fields(Settings)}
    assert set(settings.host) == set(config.HOST_NAMES)
    assert settings.approvals_needed == 2


def test_waivable_gates_are_named() -> None:
    """
    Each gate that can be waived is named where waivers are explained.
    """
    section = PAGE.split("## Waivers", 1)[1].split("\n## ", 1)[0]

    assert all(f"`{gate}`" in section for gate in config.WAIVABLE)


def test_contract_names_every_candidate() -> None:
    """
    The host contract holds each default, and each candidate in the order of the code.
    """
    hostnames = lanes.load_module("hostnames")
    page = " ".join(read("docs/host-contract.md").split())

    for setting, default in hostnames.DEFAULTS.items():
        assert f"`host.{setting}` = `{default}`" in page
    for setting, names in hostnames.CANDIDATES.items():
        assert f"`host.{setting}`" in page
        *most, last = (f"`{name}`" for name in names)
        either = [f"{', '.join(most)}{glue}{last}" for glue in (", ", " or ")]
        assert any(text in page for text in either), setting


def test_contracts_examples_are_toml() -> None:
    """
    The blocks of settings in the host contract and on the gates' pages are accepted.
    """
    for name in ("docs/host-contract.md", "docs/gates/rehearsal.md"):
        (text,) = [body for language, body in list_blocks(read(name)) if language == "toml"]
        config.build(tomllib.loads(text))
