"""
Nothing secret in what a project's process says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus, unquote

HIDDEN: Final = "***"
SHORTEST: Final = 6
"""A shorter value is a word such as "true", and would be found everywhere."""

URL: Final = re.compile(r"([a-z][a-z0-9+.-]*://[^\s/@:'\"]*):([^\s'\"]+)@", re.IGNORECASE)
NAMED: Final = re.compile(
    r"([a-z0-9_.-]*(?:passw(?:or)?d|passphrase|secret|token|api_?key|private_?key|credential"
    r"|(?<!by)(?<!com)pass(?![a-z])|pwd(?![a-z])|\*{3})[a-z0-9_]*"
    r"['\"]?\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s'\",;&)]+)",
    re.IGNORECASE,
)
SECRET_NAME: Final = re.compile(
    "PASSW|PASSPHRASE|SECRET|TOKEN|KEY|CREDENTIAL"
    "|(?<!BY)(?<!COM)(?<!ASK)PASS(?![A-Z])|(?<!^)(?<!OLD)PWD(?![A-Z])|DSN(?![A-Z])",
    re.IGNORECASE,
)
"""Neither PASSED nor COMPASS, nor the shell's own PWD."""


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return the text without the secrets, however they are quoted, and what looks like one."""
    forms = {f for s in secrets for f in (s, quote(s), quote(s, safe=""), quote_plus(s)) if f}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    text = URL.sub(rf"\1:{HIDDEN}@", text)
    return NAMED.sub(rf"\1{HIDDEN}", text)


def list_secrets(
    password: str, config_file: Path, folder: Path, environ: Mapping[str, str] = os.environ
) -> frozenset[str]:
    """
    Return what a project's process knows and may not say.

    That is the password of our database, those in URLs of the project's settings, and the values
    of environment variables, also in a ``.env``, whose names say that they are secret.
    """
    texts = [_read(config_file), _read(folder / ".env"), *environ.values()]
    in_urls = (unquote(m[2]) for text in texts for m in URL.finditer(text))
    named = {**dict(_assignments(texts[1])), **environ}
    values = (v for k, v in named.items() if SECRET_NAME.search(k) and len(v) >= SHORTEST)
    return frozenset({password, *in_urls, *values} - {""})


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, is_one, value = line.removeprefix("export ").partition("=")
        if is_one:
            yield name.strip(), value.strip().strip("'\"")


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
