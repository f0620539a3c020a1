"""The first page."""

from __future__ import annotations

import tomllib
from typing import ClassVar

from iu_gates import config, errors
from tests.docs.pages import list_blocks, read


class TestReadme:
    """What somebody who has just cloned the repository reads."""

    blocks: ClassVar = list_blocks(read("README.md"))

    def test_first_two_blocks_are_the_two_commands(self) -> None:
        """
        The demo and the tests come first, each alone in its block.
        """
        assert [body for _, body in self.blocks[:2]] == ["scripts/demo\n", "scripts/test\n"]

    def test_settings_load(self) -> None:
        """
        The example of iu-gates.toml is one that is accepted.
        """
        (text,) = [body for language, body in self.blocks if language == "toml"]

        settings = config.build(tomllib.loads(text))

        assert settings.invocation == "systemd"
        assert settings.waivers == ()

    def test_exit_codes_are_those_of_the_errors(self) -> None:
        """
        Each class of error has its code in the table.
        """
        codes = {errors.IuGatesError.exit_code, 0} | {
            c.exit_code for c in errors.IuGatesError.__subclasses__()
        }

        assert all(f"| {code} |" in read("README.md") for code in codes)
