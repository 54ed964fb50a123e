"""The figure of a tile size sweep: how much is cut at seams, against the tile size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from shiftjax import metrics
from shiftjax._experiments.evaluate import Stitched
from shiftjax._experiments.figure import BAD, GOOD, pyplot, save
from shiftjax._experiments.run import Result
from shiftjax._experiments.sweep import as_predicted, curve, multiples

GREY = "#8a8a8a"
TICKS = 20  # tile sizes that fit on the axis as numbers


def draw(result: Result, path: Path) -> None:
    """Draws the sweep into a PNG file: per network a column of panels, seam disagreement above, false splits below."""
    names = list(result.views)
    figure, axes = pyplot().subplots(
        2, len(names), figsize=(8.5 * len(names), 6.5), sharex="col", squeeze=False, layout="constrained"
    )
    for column, name in zip(axes.T, names, strict=True):
        rows = [row for row in result.metrics["stitchings"] if row["name"] == name]
        _network(column, rows, result.views[name])
    save(figure, path, result.metrics)


def cut_everywhere(view: Stitched) -> int:
    """The false splits of a perfect segmentation in which seams cut every object that they cross."""
    pixels = np.indices(view.true.shape[1:])
    tiles = [(x - o) // t for x, o, t in zip(pixels, view.plan.origin, view.plan.tile_stride, strict=True)]
    tile = np.ravel_multi_index(tuple(tiles), view.true.shape[1:])
    fragments = np.where(view.true > 0, 1 + tile + tile.size * view.true, 0)
    return int(metrics.split_merge_counts(view.true, fragments).splits)


def _network(panels: np.ndarray, rows: list[dict[str, Any]], views: list[Stitched]) -> None:
    seam, splits = panels
    legal, sizes, period = multiples(rows), [row["tile"] for row in rows], rows[0]["period"]
    _curve(seam, curve(rows, "seam_disagreement"), legal)
    _curve(splits, curve(rows, "false_splits"), legal)
    bound = [cut_everywhere(view) for view in views]
    splits.plot(sizes, bound, "--", color=GREY, lw=1.2, label="if seams cut every object that they cross", zorder=1)
    seam.set_title(f"{rows[0]['name']}: {_title(rows)}", color=GOOD if as_predicted(rows) else BAD, fontsize=11)
    seam.set_ylabel("seam disagreement\n(0: seams cut no object,\n1: each that they cross)")
    seam.set_ylim(min(-0.06, *seam.get_ylim()), max(1.06, seam.get_ylim()[1]))
    splits.set_ylabel("false splits\nin the picture")
    splits.set_xlabel("size of the output tiles, in px")
    shown = sizes if len(sizes) < TICKS else legal
    splits.set_xticks(shown, [f"{n}\n= {n // period} x {period}" if n in legal else str(n) for n in shown])
    for size, tick in zip(shown, splits.get_xticklabels(), strict=True):
        if size in legal:
            tick.set(color=GOOD, fontweight="bold")
    splits.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=9)


def _title(rows: list[dict[str, Any]]) -> str:
    if as_predicted(rows):
        return f"seams only where the tile is no multiple of the period, {rows[0]['period']} px"
    return f"the dips are NOT at the multiples of the period, {rows[0]['period']} px"


def _curve(axes: Any, values: dict[int, float], legal: list[int]) -> None:
    for size in legal:
        axes.axvspan(size - 0.3, size + 0.3, color=GOOD, alpha=0.12, lw=0)
    axes.plot(list(values), list(values.values()), color=GREY, lw=1, zorder=2)
    other = [size for size in values if size not in legal]
    axes.plot(other, [values[s] for s in other], "o", color=BAD, ms=6, label="other tile sizes")
    axes.plot(legal, [values[s] for s in legal], "o", color=GOOD, ms=10, label="multiples of the period")
    axes.spines[["top", "right"]].set_visible(False)
