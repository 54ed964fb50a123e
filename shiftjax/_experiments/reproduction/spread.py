"""Figures of sweeps over several seeds: curves with their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._experiments.figure import BAD, GOOD, pyplot, save
from shiftjax._experiments.settings import LEVELS, SWEEP, WINDOWS
from shiftjax._experiments.sweep import CURVES as SWEPT
from shiftjax._experiments.sweep_figure import GREY


@dataclass(frozen=True)
class Curves:
    """What a figure shows of the rows of all seeds.

    Attributes:
        swept: the key of the rows that is swept, and its words for the axis.
        scores: a panel each: the key, and its words.
        good, bad: of the points, in words; all are good without `legal`.
        legal: the key that says which points are good.
        log: the scores whose axis doubles from tick to tick.
    """

    swept: tuple[str, str]
    scores: Mapping[str, str]
    good: str
    bad: str = ""
    legal: str = ""
    log: tuple[str, ...] = ()


CURVES: Mapping[str, Curves] = {
    SWEEP: Curves(
        ("tile", "size of the output tiles, in px; the period is {period} px"),
        SWEPT,
        "multiples of the period",
        "other tile sizes",
        "legal_tile",
    ),
    WINDOWS: Curves(
        ("train_window", "side of the window that the loss sees, in px; the period is {period} px"),
        {"line_jump": "jump at the period's lines", "average_precision": "AP50"},
        "larger than the period",
        "a period or less",
        "legal_window",
    ),
    LEVELS: Curves(
        ("levels", "levels of pooling by 2"),
        {"distinct_embeddings": "embeddings told apart", "share": "their share of the bound"},
        "trained networks",
        log=("distinct_embeddings",),
    ),
}


def draw(scored: Mapping[int, Sequence[Mapping[str, Any]]], curves: Curves, path: Path) -> None:
    """Draws median and range over the seeds into a PNG file, from the rows of each seed."""
    key, words = curves.swept
    rows = [row for own in scored.values() for row in own]
    values = sorted({row[key] for row in rows})
    good = [all(row.get(curves.legal, True) for row in rows if row[key] == value) for value in values]
    figure, axes = pyplot().subplots(len(curves.scores), 1, figsize=(8, 6), sharex=True, layout="constrained")
    for panel, (score, name) in zip(axes, curves.scores.items(), strict=True):
        by_value = np.array([[row[score] for row in rows if row[key] == value] for value in values], float)
        median, low, high = (of(by_value, axis=1) for of in (np.median, np.min, np.max))
        panel.fill_between(values, low, high, color=GREY, alpha=0.25, lw=0, label=f"range over {len(scored)} seeds")
        panel.plot(values, median, color=GREY, lw=1, zorder=2)
        for which, colour, label in ((True, GOOD, curves.good), (False, BAD, curves.bad)):
            at = [k for k, one in enumerate(good) if one == which]
            if at:
                panel.plot(np.take(values, at), median[at], "o", color=colour, ms=7, label=label, zorder=3)
        panel.set_ylabel(name)
        if score in curves.log:
            panel.set_yscale("log", base=2)
        else:
            panel.set_ylim(min(0, *low) - 0.05, max(1, *high) * 1.05)
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=9)
    axes[-1].set_xlabel(words.format(**rows[0]))
    axes[-1].set_xticks(values)
    save(figure, path, {"stitchings": rows})
