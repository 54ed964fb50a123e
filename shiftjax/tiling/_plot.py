"""The picture of a plan: the image, its padding, the tiles or strips, and what one of them reads and keeps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from shiftjax._extras import require
from shiftjax._figure import new_figure

if TYPE_CHECKING:
    from shiftjax.tiling._plan import TilePlan

IMAGE, READ, KEPT = "#e8e8e8", "#f58518", "#1a7f37"
LINES = 400  # borders of tiles per axis; more would be a grey area


class Along(NamedTuple):
    """One axis of the picture, in pixels of the image."""

    size: int
    padded: int
    before: int
    reads: int
    keeps: int
    tiles: int
    start: int

    @property
    def tile(self) -> int:
        """Where the tile in the middle begins."""
        return self.tiles // 2 * self.keeps


def draw(plan: TilePlan) -> Any:
    """Two axes of the image; a single one is drawn as a strip."""
    widths = [before for before, _ in plan.pad_width[1:-1]]
    starts = plan.input_start(tuple(n // 2 for n in plan.grid))
    sizes = (plan.image_shape[1:-1], plan.padded_space, widths, plan.tile_input, plan.tile_output, plan.grid, starts)
    drawn = _drawn(plan)
    along = [Along(*numbers) for k, numbers in enumerate(zip(*sizes, strict=True)) if k in drawn]
    strip = len(along) == 1
    if strip:
        high = max(1, along[0].padded // 8)
        along = [Along(high, high, 0, high, high, 1, 0), *along]
    rows, columns = along
    figure = new_figure(7.5, 1.2 + min(8.0, 5.5 * rows.padded / columns.padded))
    panel = figure.subplots()
    shapes: list[Shape] = [
        (
            "padding",
            [(-a.before, a.padded) for a in along],
            {"facecolor": "white", "edgecolor": "grey", "linestyle": ":"},
        ),
        ("image", [(0, a.size) for a in along], {"facecolor": IMAGE, "edgecolor": "black"}),
        *_of_one(plan, along, drawn, strip),
    ]
    rectangle = require("matplotlib.patches", "plot").Rectangle
    for label, ((top, height), (left, width)), style in shapes:
        panel.add_patch(rectangle((left - 0.5, top - 0.5), width, height, label=label, **style))
    for axis, line in zip(along, (panel.axhline, panel.axvline), strict=True):
        for n in range(axis.tiles + 1 if axis.tiles <= LINES else 0):
            line(n * axis.keeps - 0.5, color="black", linewidth=0.5, linestyle=(0, (2, 2)))
    panel.set(xlim=(-columns.before - 1, columns.padded - columns.before), xlabel="pixel", aspect="equal")
    panel.set_ylim(rows.padded - rows.before, -rows.before - 1)
    if strip:
        panel.set_yticks([])
    panel.set_title(_title(plan), fontsize=9)
    panel.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


Shape = tuple[str, list[tuple[int, int]], dict[str, Any]]  # label, (start, size) per axis, style


def _drawn(plan: TilePlan) -> tuple[int, ...]:
    """The last two axes; for a stream, its axis and the last of the others."""
    axes = range(len(plan.tile_output))
    if plan.stream is None or plan.stream in axes[-2:]:
        return tuple(axes[-2:])
    return plan.stream, axes[-1]


def _of_one(plan: TilePlan, along: list[Along], drawn: tuple[int, ...], strip: bool) -> list[Shape]:
    """What the tile in the middle reads and keeps; for a stream, what its strip does and what one step does."""
    reads, keeps = [(a.start, a.reads) for a in along], [(a.tile, a.keeps) for a in along]
    light, dark = {"facecolor": READ, "alpha": 0.4}, {"facecolor": KEPT, "alpha": 0.7}
    if plan.stream is None:
        return [("one tile reads", reads, light), ("and keeps", keeps, dark)]
    k = drawn.index(plan.stream) + strip  # a single axis is drawn below another one
    steps = plan.axes[plan.stream].step * (plan.grid[plan.stream] + plan.filling)
    whole = [(-along[k].before if plan.pad is not None else 0, steps) if j == k else at for j, at in enumerate(reads)]
    given = [(along[k].tile, along[k].keeps) if j == k else at for j, at in enumerate(keeps)]
    read = [(along[k].tile, along[k].reads) if j == k else at for j, at in enumerate(reads)]
    pale = {"facecolor": READ, "alpha": 0.2}
    return [("one strip reads", whole, pale), ("one step of it", read, light), ("what a step gives", given, dark)]


def _title(plan: TilePlan) -> str:
    if plan.stream is not None:
        count, steps = math.prod(plan.grid) // plan.grid[plan.stream], plan.grid[plan.stream] + plan.filling
        shown = f" (axes {' and '.join(map(str, _drawn(plan)))})" if len(plan.tile_output) > 2 else ""
        what = f"{count} {'strips' if count > 1 else 'strip'} along axis {plan.stream}, {steps} steps each{shown}"
        return f"{what}\n{plan.redundancy:.2f} pixels are computed for each of the image"
    axes = " (the last two axes)" if len(plan.tile_output) > 2 else ""
    phase = "at one phase" if plan.in_phase else "at different phases, which shows as seams"
    period = " x ".join(map(str, plan.period))
    return f"tiles {phase}; period {period} px{axes}\n{plan.redundancy:.2f} pixels are computed for each of the image"
