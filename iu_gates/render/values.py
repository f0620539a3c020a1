"""Values as JSON, under the names of their fields; and nothing secret in either form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, Final

from iu_gates.errors import IuGatesError

_HIDDEN: Final = (
    (re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/@'\"]*:[^\s'\"]*@"), r"\1***@"),
    (
        re.compile(r"(\bpassword\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s'\",;&)]+)", re.IGNORECASE),
        r"\1***",
    ),
)


def scrub(text: str) -> str:
    """Return the text with whatever looks like a password in a URL or conninfo taken out."""
    for pattern, replacement in _HIDDEN:
        text = pattern.sub(replacement, text)
    return text


def jsonify(value: Any) -> Any:
    """
    Return a value as JSON holds it.

    What has an `as_dict` speaks for itself; a dataclass gives its fields, and `passed` where it
    has that; times are RFC 3339 in UTC; anything else is text.
    """
    if hasattr(value, "as_dict"):
        return jsonify(value.as_dict())
    if is_dataclass(value):
        return {name: jsonify(getattr(value, name)) for name in _names(value)}
    if isinstance(value, Mapping):
        return {str(k): jsonify(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonify(v) for v in value]
    return _scalar(value)


def to_json(value: Any, indent: int | None = 2) -> str:
    """Return a value as JSON text, ending in a line break."""
    return json.dumps(jsonify(value), indent=indent, ensure_ascii=False) + "\n"


def error_to_json(error: IuGatesError) -> str:
    """Return an error as one JSON object, with no secret in any of its texts."""
    return json.dumps(_scrubbed(jsonify(error)), indent=2, ensure_ascii=False) + "\n"


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def _names(value: Any) -> list[str]:
    names = [f.name for f in fields(value)]
    return [*names, "passed"] if hasattr(value, "passed") and "passed" not in names else names


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {k: _scrubbed(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_scrubbed(v) for v in value]
    return value
