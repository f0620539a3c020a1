"""What was measured, as rows; the tables of them; what they come to against the goals."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

FEW: Final = 10


@dataclass
class Row:
    """
    A thing that was measured several times.

    Attributes:
        section: The table it belongs to.
        name: What was measured.
        unit: Of the values.
        values: One for each round, in the order of the rounds; empty if it was not run.
        note: Settings, or why it was not run.
        base: Name of the row of this section with which it is compared, round by round.
    """

    section: str
    name: str
    unit: str
    values: list[float] = field(default_factory=list)
    note: str = ""
    base: str = ""

    @property
    def median(self) -> float:
        """The median of the values; not a number if there are none."""
        return statistics.median(self.values) if self.values else float("nan")


class Results:
    """All rows, by section and name, in the order in which they came."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Row] = {}

    def add(
        self, section: str, name: str, unit: str, value: float, *, note: str = "", base: str = ""
    ) -> None:
        """Add the value of one round."""
        row = self._require(section, name, unit, note, base)
        row.values.append(value)
        row.note = note

    def leave_out(self, section: str, name: str, unit: str, why: str) -> None:
        """Say that something was not run."""
        self._require(section, name, unit, f"not run: {why}", "")

    def get(self, section: str, name: str) -> Row | None:
        """Return a row that has values."""
        row = self._rows.get((section, name))
        return row if row and row.values else None

    def list_section(self, section: str) -> list[Row]:
        """Return the rows of a section."""
        return [r for r in self._rows.values() if r.section == section]

    def list_all(self) -> list[dict[str, Any]]:
        """Return all rows for JSON, each with its median and its ratio."""
        return [
            asdict(r) | {"median": r.median if r.values else None, "ratio": self.ratio_of(r)}
            for r in self._rows.values()
        ]

    def ratio(self, section: str, name: str, base: str) -> float | None:
        """Return the median of the rounds' ratios of a row to another; None if one was not run."""
        row, other = self.get(section, name), self.get(section, base)
        if row is None or other is None:
            return None
        return statistics.median(a / b for a, b in zip(row.values, other.values, strict=False))

    def ratio_of(self, row: Row) -> float | None:
        """Return the ratio of a row to the one with which it is compared."""
        return self.ratio(row.section, row.name, row.base) if row.base and row.values else None

    def render(self, section: str, title: str) -> str:
        """Return the table of a section."""
        rows = self.list_section(section)
        if not rows:
            return ""
        width = max(len(r.name) for r in rows)
        lines = [title, f"{'':<{width}}  {'median':>9}  {'lowest':>9}  {'highest':>9}"]
        for row in rows:
            if not row.values:
                lines.append(f"{row.name:<{width}}  {row.note}")
                continue
            figures = "  ".join(
                f"{number(v):>9}" for v in (row.median, min(row.values), max(row.values))
            )
            ratio = self.ratio_of(row)
            against = f"  {ratio:.2f} of {row.base}" if ratio is not None else ""
            note = f"  ({row.note})" if row.note else ""
            lines.append(f"{row.name:<{width}}  {figures}  {row.unit}{against}{note}")
        return "\n".join(lines)

    def _require(self, section: str, name: str, unit: str, note: str, base: str) -> Row:
        return self._rows.setdefault(
            (section, name), Row(section, name, unit, note=note, base=base)
        )


def number(value: float) -> str:
    """Return a figure with about three digits."""
    if value >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= FEW else f"{value:.2f}"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of them lies."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
