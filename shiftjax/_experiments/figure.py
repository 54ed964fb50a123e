"""The figure of an experiment: input, output, and where tiles meet."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._colours import colours, label_colours
from shiftjax._experiments.evaluate import Stitched, Whole, departure, rms, verdict
from shiftjax._experiments.experiment import DELTA_DIST
from shiftjax._experiments.run import Result
from shiftjax._extras import require
from shiftjax._figure import stamp

SHOWN = 8  # periods of the test image per panel side, so that single pixels can be seen
ROUNDING = 1e-4  # standard deviations; convolutions of another size round differently, by some 1e-7
GOOD, BAD, UNSURE = "#1a7f37", "#c62828", "#8a6d00"


def draw(result: Result, path: Path) -> None:
    """Draws `result` into a PNG file."""
    save(_stitched(result) if result.views else _windows(result), path, result.metrics)


def pyplot() -> Any:
    """The module `matplotlib.pyplot`, drawing into files."""
    require("matplotlib", "train").use("Agg")
    return require("matplotlib.pyplot", "train")


def save(figure: Any, path: Path, metrics: dict[str, Any]) -> None:
    """Writes a figure completely or not at all, with a digest of the measured numbers that it shows."""
    draft = path.with_suffix(".draft.png")
    numbers = [metrics.get(name) for name in ("stitchings", "outcomes")]
    figure.savefig(draft, dpi=130, bbox_inches="tight", metadata=stamp(numbers))
    pyplot().close(figure)
    draft.replace(path)


def _stitched(result: Result) -> Any:
    columns = 1 + max(len(views) for views in result.views.values())
    tables = {name: [row for row in result.metrics["stitchings"] if row["name"] == name] for name in result.views}
    heights = [7.4 if _undecided(rows) else 5.1 for rows in tables.values()]  # inches
    figure = pyplot().figure(figsize=(2.1 * columns, sum(heights)), layout="constrained")
    subfigures = figure.subfigures(len(heights), 1, squeeze=False, hspace=0.04, height_ratios=heights)[:, 0]
    for subfigure, (name, rows) in zip(subfigures, tables.items(), strict=True):
        _network(subfigure, result, name, rows, columns)
    return figure


def _undecided(rows: list[dict[str, Any]]) -> bool:
    """Whether only the whole picture can tell of some stitching if it has seams; the difference is shown then."""
    return any(verdict(row) not in ("seams", "no seams") for row in rows)


def _network(subfigure: Any, result: Result, name: str, rows: list[dict[str, Any]], columns: int) -> None:
    """Rows of panels, embedding above, instances below; input and truth first, then a column per tile size."""
    picture, views = result.pictures[name], result.views[name]
    window, period = rows[0]["train_window"], rows[0]["period"]
    relation = "larger than" if window > period else "not larger than"
    subfigure.suptitle(f"{name}: training window {window} px, {relation} the period of {period} px", fontsize=11)
    axes = subfigure.subplots(2 + _undecided(rows), columns, squeeze=False)
    side = min(SHOWN * period, *(s.stop - s.start for s in picture.scored))
    at = tuple(slice(s.start, s.start + side) for s in picture.scored)
    axes[0, 0].imshow(np.asarray(picture.image)[0, ..., 0][at], cmap="gray", vmin=0, vmax=1)
    axes[0, 0].set_title("input, with outlines", fontsize=9)
    _outline(axes[0, 0], views[0].true[0][at])
    axes[1, 0].imshow(label_colours(views[0].true[0])[at])
    axes[1, 0].set_title("truth", fontsize=9)
    for column, (view, row) in enumerate(zip(views, rows, strict=True), start=1):
        _tile(axes[:, column], view, row, at)
    labels = ("embedding", "instances", "where it differs from\nthe whole image")
    for panel, label in zip(axes[:, 1], labels, strict=False):
        panel.set_ylabel(label, fontsize=9)
    if _undecided(rows):
        axes[2, 0].set_visible(False)
        _departures(subfigure, axes[2, 1:], result.references[name], views, at)
    for panel in axes[:, len(views) + 1 :].flat:
        panel.set_visible(False)
    _bare(axes)


def _tile(axes: np.ndarray, view: Stitched, row: dict[str, Any], at: tuple[slice, ...]) -> None:
    """The column of one tile size."""
    words, colour = _verdict(row)
    multiple = f"= {row['tile'] // row['period']} x {row['period']}"
    tile = f"{row['tile']} {multiple}" if row["legal_tile"] else f"{row['tile']}, off the grid"
    axes[0].imshow(colours(view.embedding[0], view.true[0] > 0, least=2 * DELTA_DIST)[at])
    axes[0].set_title(f"tile {tile}\n{words}", fontsize=9, color=colour)
    axes[1].imshow(label_colours(view.instances[0])[at])
    axes[1].set_title(f"{row['false_splits']} false splits, AP {row['average_precision']:.2f}", fontsize=9)
    for panel in axes[:2]:
        _draw_seams(panel, view, at)
    for panel in axes:
        for side in panel.spines.values():
            side.set(color=colour, linewidth=2)


def _departures(subfigure: Any, axes: np.ndarray, whole: Whole, views: list[Stitched], at: tuple[slice, ...]) -> None:
    """Where stitching differs from the whole picture, on one scale for all tiles; seams need no lines here."""
    distances = [departure(view, whole)[0][at] for view in views]
    most = max(1e-6, float(np.percentile(distances, 99)))
    for panel, distance in zip(axes, distances, strict=False):
        shown = panel.imshow(distance, cmap="inferno", vmin=0, vmax=most)
        panel.set_title("nowhere" if distance.max() < ROUNDING else f"rms {rms(distance):.2f}", fontsize=9)
    subfigure.colorbar(shown, ax=list(axes), shrink=0.8, label="standard deviations")


def _verdict(row: dict[str, Any]) -> tuple[str, str]:
    """A row in words, and their colour."""
    words = verdict(row)
    if words != "seams":
        return words, UNSURE if words.startswith("not") else GOOD
    worst = max(("seam", row["seam_disagreement"]), ("grid", row["grid_disagreement"]), key=lambda pair: pair[1])
    return f"SEAMS ({worst[0]} {worst[1]:.2f})", BAD


def _windows(result: Result) -> Any:
    """Per network: an input, the embedding of its output window, and the same as points."""
    rows = len(result.windows)
    figure, axes = pyplot().subplots(rows, 3, figsize=(9, 3.2 * rows), squeeze=False)
    outcomes = {o["name"]: o for o in result.metrics["outcomes"]}
    for row, (name, (image, embedding, labels)) in zip(axes, result.windows.items(), strict=True):
        outcome = outcomes[name]
        shown_as = colours(embedding[0], labels[0] > 0)
        row[0].imshow(image[0, ..., 0], cmap="gray", vmin=0, vmax=1)
        row[0].set_title(f"{name}\ninput", fontsize=9)
        row[1].imshow(shown_as)
        expected = textwrap.fill(f"expected: {outcome['expected']}", 48)
        row[1].set_title(f"embedding of the output window\n{expected}", fontsize=9)
        shown = labels[0] > 0
        row[2].scatter(*embedding[0][shown][:, :2].T, s=6, c=shown_as[shown])
        row[2].set_title(
            f"{outcome['distinct_embeddings']} distinct embeddings\n(without padding at most {outcome['capacity']})",
            fontsize=9,
        )
        row[2].set_xlabel("channel 0", fontsize=8)
        row[2].set_ylabel("channel 1", fontsize=8)
    _bare(axes[:, :2])
    figure.tight_layout()
    return figure


def _draw_seams(axes: Any, view: Stitched, at: tuple[slice, ...]) -> None:
    for k, draw_line in enumerate((axes.axhline, axes.axvline)):
        for pixel in range(at[k].start + 1, at[k].stop):
            if (pixel - view.plan.origin[k]) % view.plan.tile_stride[k] == 0:
                draw_line(pixel - at[k].start - 0.5, color="white", linewidth=0.8, linestyle=(0, (2, 2)))


def _outline(axes: Any, labels: np.ndarray) -> None:
    """Lines between pixels of different objects, so that objects that touch are seen as what they are."""
    below, beside = np.argwhere(labels[1:] != labels[:-1]), np.argwhere(labels[:, 1:] != labels[:, :-1])
    style = {"color": "tab:orange", "linewidth": 1.0}
    axes.hlines(below[:, 0] + 0.5, below[:, 1] - 0.5, below[:, 1] + 0.5, **style)
    axes.vlines(beside[:, 1] + 0.5, beside[:, 0] - 0.5, beside[:, 0] + 0.5, **style)


def _bare(axes: np.ndarray) -> None:
    for panel in axes.flat:
        panel.set_xticks([])
        panel.set_yticks([])
