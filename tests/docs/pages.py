"""The pages of the documentation, and what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    DOCS.rglob("*.md")
)
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SOURCES = ("iu_gates", "migrations")


def page_id(path: Path) -> str:
    """Return a page's path from the root, as the name of a test's case."""
    return path.relative_to(ROOT).as_posix()


def read(name: str) -> str:
    """Return the text of a page, by its path from the root."""
    return (ROOT / name).read_text("utf-8")


def list_blocks(text: str) -> list[tuple[str, str]]:
    """Return language and content of each code block, in order."""
    return [(match[2], match[3]) for match in BLOCK.finditer(text)]


def marked_block(text: str, mark: str) -> str:
    """Return the content of the block behind ``<!-- mark -->``."""
    return list_blocks(text.split(f"<!-- {mark} -->\n", 1)[1])[0][1]


def list_links(path: Path) -> list[str]:
    """Return the targets of a page's links that are not on the web; code blocks hold none."""
    text = BLOCK.sub("", path.read_text("utf-8"))
    return [target for target in LINK.findall(text) if "://" not in target]


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = BLOCK.sub("", path.read_text("utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def list_sources(*suffixes: str) -> Iterator[Path]:
    """Give each file of the code with one of these suffixes."""
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes:
                yield path


def read_sources(*suffixes: str) -> str:
    """Return the text of all code with one of these suffixes."""
    return "\n".join(path.read_text("utf-8") for path in list_sources(*suffixes))
