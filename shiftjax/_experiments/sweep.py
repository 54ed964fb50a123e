"""Where the curves of a tile size sweep dip, and where the period predicts that they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shiftjax import theory

CURVES = {"seam_disagreement": "seam disagreement", "false_splits": "false splits"}


def curve(rows: Sequence[Mapping[str, Any]], score: str) -> dict[int, float]:
    """One score of a network's rows, by tile size."""
    return {row["tile"]: float(row[score]) for row in sorted(rows, key=lambda row: row["tile"])}


def dips(values: Mapping[int, float]) -> list[int]:
    """Tile sizes whose value is less than half of those of the neighbouring sizes in the sweep.

    Compared with its neighbours, a dip stands out whatever the trend: larger tiles have fewer seams. Neither NaN nor a
    neighbour of NaN is a dip.
    """
    sizes = sorted(values)
    neighbours = {size: sizes[max(k - 1, 0) : k] + sizes[k + 1 : k + 2] for k, size in enumerate(sizes)}
    return [s for s in sizes if neighbours[s] and all(values[s] < values[other] / 2 for other in neighbours[s])]


def multiples(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Tile sizes of the sweep that are multiples of the period."""
    return sorted(row["tile"] for row in rows if theory.legal_tile([row["tile"]], [row["period"]]))


def as_predicted(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every score dips at the multiples of the period and nowhere else."""
    return all(dips(curve(rows, score)) == multiples(rows) != [] for score in CURVES)


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """The dips of each network and the multiples of its period, in words."""
    lines = []
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        measured = "; ".join(f"{words} dips at {_listed(dips(curve(own, score)))}" for score, words in CURVES.items())
        verdict = "as predicted" if as_predicted(own) else "NOT as predicted"
        lines.append(f"{name}: {measured}; multiples of the period: {_listed(multiples(own))}: {verdict}")
    return "\n".join(lines)


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes)) or "no size"
