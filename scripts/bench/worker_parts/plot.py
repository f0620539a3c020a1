"""Draw what `scripts/bench/worker` measured: `plot.py RESULTS.json PATH` makes PATH.png, .svg."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
mpl.rcParams["svg.hashsalt"] = "iu-gates"  # the same figures are the same file
from matplotlib import pyplot as plt  # noqa: E402

OURS, LIMIT, OTHER = "#1f6f8b", "#9a9a9a", "#d08c4a"
TITLES = {
    "throughput": "events delivered a second (log)",
    "latency": "latency, ms",
    "host": "the host's inserts a second (log)",
    "history": "a batch of 1,000, ms",
    "routes": "routes side by side, events a second",
}
LOGARITHMIC = ("throughput", "host")


def draw(axes: Any, rows: list[dict[str, Any]], section: str) -> None:
    """Draw a bar for each row, with a line from its lowest to its highest value."""
    rows.reverse()  # the first is to be on top
    colours = [
        LIMIT
        if "limit" in r["name"] or "without" in r["name"]
        else OURS
        if section != "throughput" or r["name"].startswith("iu-gates")
        else OTHER
        for r in rows
    ]
    medians = [r["median"] for r in rows]
    spread = [
        [m - min(r["values"]) for m, r in zip(medians, rows, strict=True)],
        [max(r["values"]) - m for m, r in zip(medians, rows, strict=True)],
    ]
    axes.barh([r["name"] for r in rows], medians, xerr=spread, color=colours, ecolor="#444444")
    for place, median in enumerate(medians):
        text = f"{median:,.0f}" if median >= 100 else f"{median:.3g}"  # noqa: PLR2004
        axes.annotate(text, (median, place), xytext=(4, 6), textcoords="offset points", fontsize=7)
    if section in LOGARITHMIC:
        axes.set_xscale("log")
    axes.margins(x=0.18)
    axes.set_title(TITLES[section], fontsize=10, loc="left")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def main(source: Path, target: str) -> None:
    """Read, draw, write both."""
    document = json.loads(source.read_text("utf-8"))
    sections = {
        name: [r for r in document["rows"] if r["section"] == name and r["values"]]
        for name in TITLES
    }
    sections = {name: rows for name, rows in sections.items() if rows}
    if not sections:
        return
    heights = [len(rows) + 1.5 for rows in sections.values()]
    figure, all_axes = plt.subplots(
        len(sections),
        1,
        figsize=(9, 0.3 * sum(heights) + 0.8),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for axes, (name, rows) in zip(all_axes[:, 0], sections.items(), strict=True):
        draw(axes, rows, name)
    facts = document["facts"]
    figure.supxlabel(f"{facts['what']}; {facts['server']}", fontsize=6)
    for kind in ("png", "svg"):
        figure.savefig(
            f"{target}.{kind}", dpi=130, metadata={"Date": None} if kind == "svg" else {}
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
