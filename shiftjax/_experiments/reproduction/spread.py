"""Figures of sweeps over several seeds: curves with their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._experiments.figure import BAD, GOOD, pyplot, save
from shiftjax._experiments.settings import DIMENSIONS, IMAGES, LEVELS, NEIGHBOURS, SAMPLING, SWEEP, WINDOWS
from shiftjax._experiments.sweep import CURVES as SWEPT
from shiftjax._experiments.sweep_figure import GREY

LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")  # told apart by all eyes


@dataclass(frozen=True)
class Curves:
    """What a figure shows of the rows of all seeds.

    Attributes:
        swept: the key of the rows that is swept, numbers or names, and its words for the axis.
        scores: a panel each: the key, and its words.
        good, bad: of the points, in words; all are good without `legal`.
        legal: the key that says which points are good.
        by: the key whose values have a line each; without, there is one line.
        log: the scores whose axis doubles from tick to tick.
    """

    swept: tuple[str, str]
    scores: Mapping[str, str]
    good: str
    bad: str = ""
    legal: str = ""
    by: str = ""
    log: tuple[str, ...] = ()


_JUMP = {"line_jump": "jump at the period's lines", "average_precision": "AP50"}
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
        _JUMP,
        "larger than the period",
        "a period or less",
        "legal_window",
    ),
    NEIGHBOURS: Curves(("network", "what the loss sees; the period is {period} px"), _JUMP, "trained networks"),
    LEVELS: Curves(
        ("levels", "levels of pooling by 2"),
        {"distinct_embeddings": "embeddings told apart", "share": "their share of the bound"},
        "trained networks",
        log=("distinct_embeddings",),
    ),
    DIMENSIONS: Curves(
        ("levels", "levels of pooling by 2"),
        {"distinct_embeddings": "embeddings told apart", "share": "their share of the bound"},
        "trained networks",
        by="ndim",
        log=("distinct_embeddings",),
    ),
    SAMPLING: Curves(
        ("network", "how the network samples; the period is {period} px, of dilation 1 px"),
        {"codes": "codes of whole discs", "differs_from_whole": "difference from the whole"},
        "trained networks",
        by="tile",
    ),
    **{
        name: Curves(
            ("tile", "size of the output tiles, in px; filled: multiples of the period, {period} px"),
            {"false_splits": "false splits", "average_precision": "AP50"},
            "multiples of the period",
            "other tile sizes",
            "legal_tile",
            by="network",
        )
        for name in IMAGES
    },
}


def draw(scored: Mapping[int, Sequence[Mapping[str, Any]]], curves: Curves, path: Path) -> None:
    """Draws median and range over the seeds into a PNG file, from the rows of each seed."""
    key, words = curves.swept
    rows = [row for own in scored.values() for row in own]
    values = list(dict.fromkeys(row[key] for row in rows))
    if not any(isinstance(value, str) for value in values):
        values.sort()
    places = dict(zip(values, range(len(values)) if isinstance(values[0], str) else values, strict=True))
    lines: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        lines.setdefault(row.get(curves.by), []).append(row)
    figure, axes = pyplot().subplots(len(curves.scores), 1, figsize=(8, 6), sharex=True, layout="constrained")
    for panel, (score, name) in zip(axes, curves.scores.items(), strict=True):
        ends = [0.0, 1.0]
        for number, (which, own) in enumerate(lines.items()):
            words_of = {"": f"range over {len(scored)} seeds", "ndim": f"{which}-D", "tile": f"tiles of {which} px"}
            label = words_of.get(curves.by, which)
            beside = 0.1 * (number - (len(lines) - 1) / 2) if key == "network" else 0.0
            shifted = {value: place + beside for value, place in places.items()}
            ends += _line(panel, own, score, curves, shifted, label, None if which is None else LINES[number])
        panel.set_ylabel(name)
        if score in curves.log:
            panel.set_yscale("log", base=2)
        else:
            panel.set_ylim(min(ends) - 0.05, max(ends) * 1.05)
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=9)
    axes[-1].set_xlabel(words.format(**rows[0]))
    axes[-1].set_xticks(list(places.values()), [str(value).replace(", ", ",\n") for value in values])
    save(figure, path, {"stitchings": rows})


def _line(
    panel: Any,
    rows: Sequence[Mapping[str, Any]],
    score: str,
    curves: Curves,
    places: Mapping[Any, float],
    label: str,
    colour: str | None,
) -> list[float]:
    """Draws one line with its spread; the lowest and the highest value. Without a colour, points are good and bad."""
    key, _ = curves.swept
    by_value = {value: [row for row in rows if row[key] == value] for value in places}
    shown = {places[value]: own for value, own in by_value.items() if own}
    x = np.array(list(shown))
    table = [np.array([row[score] for row in own], float) for own in shown.values()]
    median, low, high = (np.array([of(seeds) for seeds in table]) for of in (np.median, np.min, np.max))
    good = np.array([all(row.get(curves.legal, True) for row in own) for own in shown.values()])
    look: dict[str, Any] = {"color": colour or GREY, "alpha": 0.15 if colour else 0.25}
    if key == "network":  # nothing lies between two names
        look["alpha"] += 0.15
        panel.vlines(x, low, high, **look, lw=6, label=label)
    else:
        panel.fill_between(x, low, high, **look, lw=0, label=None if colour else label)
        panel.plot(x, median, color=colour or GREY, lw=1.5 if colour else 1, zorder=2, label=label if colour else None)
    for which, own_colour, words in ((True, GOOD, curves.good), (False, BAD, curves.bad)):
        at = good == which
        if not at.any():
            continue
        if colour is None:
            panel.plot(x[at], median[at], "o", color=own_colour, ms=7, label=words, zorder=3)
        else:
            face = colour if which else "white"
            panel.plot(x[at], median[at], "o", color=colour, mfc=face, ms=7 if which else 4, zorder=3)
    return [float(low.min()), float(high.max())]
