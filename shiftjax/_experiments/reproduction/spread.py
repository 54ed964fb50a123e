"""The figure of a sweep over several seeds: curves with their spread."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from shiftjax._experiments.figure import BAD, GOOD, pyplot, save
from shiftjax._experiments.run import Result
from shiftjax._experiments.sweep import CURVES
from shiftjax._experiments.sweep_figure import GREY


def draw(result: Result, path: Path) -> None:
    """Draws median and range over the seeds against the tile size, into a PNG file."""
    rows = result.metrics["stitchings"]
    sizes, period = sorted({row["tile"] for row in rows}), rows[0]["period"]
    legal = [size % period == 0 for size in sizes]
    seeds = len({row["seed"] for row in rows})
    figure, axes = pyplot().subplots(len(CURVES), 1, figsize=(8, 6), sharex=True, layout="constrained")
    for panel, (score, words) in zip(axes, CURVES.items(), strict=True):
        values = np.array([[row[score] for row in rows if row["tile"] == size] for size in sizes], float)
        median = np.median(values, axis=1)
        low, high = values.min(axis=1), values.max(axis=1)
        panel.fill_between(sizes, low, high, color=GREY, alpha=0.25, lw=0, label=f"range over {seeds} seeds")
        panel.plot(sizes, median, color=GREY, lw=1, zorder=2)
        for which, colour, label in ((True, GOOD, "multiples of the period"), (False, BAD, "other tile sizes")):
            at = [k for k, one in enumerate(legal) if one == which]
            panel.plot(np.take(sizes, at), median[at], "o", color=colour, ms=7, label=label, zorder=3)
        panel.set_ylabel(words)
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=9)
    axes[-1].set_xlabel(f"size of the output tiles, in px; the period is {period} px")
    axes[-1].set_xticks(sizes)
    save(figure, path, result.metrics)
