"""The figure of an experiment: what went in, what came out, and where tiles meet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._extras import require
from shiftjax.experiments.evaluate import Stitched, seamless, seams
from shiftjax.experiments.run import Result

SHOWN = 48  # pixels of the test image per panel side, so that single pixels can be seen
GOOD, BAD, UNSURE = "#1a7f37", "#c62828", "#8a6d00"


def draw(result: Result, path: Path) -> None:
    """Draws `result` into a PNG file."""
    matplotlib = require("matplotlib", "train")
    matplotlib.use("Agg")
    pyplot = require("matplotlib.pyplot", "train")
    figure = _stitched(pyplot, result) if result.views else _whole(pyplot, result)
    draft = path.with_suffix(".draft.png")
    figure.savefig(draft, dpi=130, bbox_inches="tight")
    pyplot.close(figure)
    draft.replace(path)


def _stitched(pyplot: Any, result: Result) -> Any:
    rows = {name: [r for r in result.metrics["stitchings"] if r["name"] == name] for name in result.views}
    columns = 1 + max(len(views) for views in result.views.values())
    height = 2 * len(result.views)
    figure, axes = pyplot.subplots(height, columns, figsize=(2.15 * columns, 2.4 * height), squeeze=False)
    for n, (name, views) in enumerate(result.views.items()):
        top, bottom = axes[2 * n], axes[2 * n + 1]
        at = _panel(views[0], result.pictures[name].scored)
        window, period = rows[name][0]["train_window"], rows[name][0]["period"]
        top[0].imshow(np.asarray(result.pictures[name].image)[0, ..., 0][at], cmap="gray", vmin=0, vmax=1)
        top[0].set_title(f"{name}\nwindow {window} {'>' if window > period else '≤'} period {period}\n\ninput", fontsize=8)
        bottom[0].imshow(_coloured(views[0].true[0])[at])
        bottom[0].set_title("truth", fontsize=8)
        scale = _scale(views[0])
        for column, (view, row) in enumerate(zip(views, rows[name], strict=True), start=1):
            top[column].imshow(_rgb(view.embedding[0], scale)[at])
            bottom[column].imshow(_coloured(view.instances[0])[at])
            _draw_seams(top[column], view, at)
            _draw_seams(bottom[column], view, at)
            legal = f"tile {row['tile']} = {row['tile'] // period} x {period}" if row["legal_tile"] else (
                f"tile {row['tile']} ≠ n x {period}"
            )
            verdict, colour = _verdict(row)
            top[column].set_title(f"{legal}\n{verdict}\n\nembedding", fontsize=8, color=colour)
            bottom[column].set_title(
                f"instances: AP50 {row['average_precision']:.2f}, splits {row['false_splits']}", fontsize=8
            )
        for empty in [*top[len(views) + 1 :], *bottom[len(views) + 1 :]]:
            empty.set_visible(False)
    _bare(axes)
    figure.tight_layout(h_pad=1.2)
    return figure


def _verdict(row: dict[str, Any]) -> tuple[str, str]:
    numbers = f"seam {row['seam_disagreement']:.2f}, grid {row['grid_disagreement']:.2f}"
    if seamless(row):
        return f"no seams ({numbers})", GOOD
    return (f"SEAMS ({numbers})", BAD) if seams(row) else (f"unclear ({numbers})", UNSURE)


def _whole(pyplot: Any, result: Result) -> Any:
    figure, axes = pyplot.subplots(len(result.wholes), 3, figsize=(8, 2.9 * len(result.wholes)), squeeze=False)
    outcomes = {o["name"]: o for o in result.metrics["outcomes"]}
    for row, (name, embedding) in zip(axes, result.wholes.items(), strict=True):
        outcome = outcomes[name]
        row[0].imshow(np.asarray(result.pictures[name].image)[0, ..., 0], cmap="gray", vmin=0, vmax=1)
        row[0].set_title(f"{name}\ninput", fontsize=8)
        flat = embedding[0].reshape(-1, embedding.shape[-1])
        row[1].imshow(_rgb(embedding[0], (flat.min(0), flat.max(0))))
        row[1].set_title(f"embedding of the output window\nexpected: {outcome['expected']}", fontsize=8)
        row[2].scatter(flat[:, 0], flat[:, 1], s=4, c=_rgb(flat, (flat.min(0), flat.max(0))))
        row[2].set_title(
            f"{outcome['distinct_embeddings']} distinct embeddings\nbound {outcome['capacity']}", fontsize=8
        )
        row[2].set_xlabel("channel 0", fontsize=7)
        row[2].set_ylabel("channel 1", fontsize=7)
    _bare(axes[:, :2])
    figure.tight_layout()
    return figure


def _panel(view: Stitched, scored: tuple[slice, ...]) -> tuple[slice, ...]:
    shown = [min(SHOWN, s.stop - s.start) for s in scored]
    return tuple(slice(s.start, s.start + n) for s, n in zip(scored, shown, strict=True))


def _draw_seams(axes: Any, view: Stitched, at: tuple[slice, ...]) -> None:
    for k, draw_line in enumerate((axes.axhline, axes.axvline)):
        for pixel in range(at[k].start + 1, at[k].stop):
            if (pixel - view.plan.origin[k]) % view.plan.tile_stride[k] == 0:
                draw_line(pixel - at[k].start - 0.5, color="white", linewidth=0.5, alpha=0.8)


def _scale(view: Stitched) -> tuple[np.ndarray, np.ndarray]:
    pixels = view.embedding[0][view.true[0] > 0]
    return tuple(np.percentile(pixels, q, axis=0) for q in (2, 98))  # type: ignore[return-value]


def _rgb(embedding: np.ndarray, scale: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The first three channels as red, green and blue."""
    low, high = scale
    span = np.where(high > low, high - low, 1)
    return np.clip((embedding.astype(np.float32) - low) / span, 0, 1)[..., :3]


def _coloured(labels: np.ndarray) -> np.ndarray:
    """A colour of its own for each instance, black for the background."""
    colours = np.random.default_rng(7).uniform(0.25, 1, (int(labels.max()) + 1, 3))
    colours[0] = 0
    return colours[labels]


def _bare(axes: np.ndarray) -> None:
    for panel in axes.flat:
        panel.set_xticks([])
        panel.set_yticks([])
