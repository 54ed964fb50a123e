"""One experiment with several seeds, from training to its scores and its figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax import metrics
from shiftjax._experiments import figure
from shiftjax._experiments.experiment import Experiment, Training
from shiftjax._experiments.images import task_of
from shiftjax._experiments.reproduction import spread
from shiftjax._experiments.reproduction.measure import of_constant, of_objects, splits_over_legal
from shiftjax._experiments.run import Result, run


def row(
    experiment: Experiment,
    owner: Callable[[Training], str],
    *,
    out: Path,
    seed: int,
    replicas: int,
    steps: int | None = None,
) -> dict[str, Any]:
    """Trains `replicas` networks of each kind from `seed` on, scores them by seed, and draws the experiment's figure.

    Args:
        owner: from a training, the first name it has; its checkpoints in `out / "checkpoints"` serve all experiments.
        out: folder of the run.
        steps: of training, instead of the experiment's own.

    Returns:
        What a row of the table says, for `claims.judge` to judge.
    """
    replicas = min(replicas, experiment.most or replicas)
    scored: dict[int, list[dict[str, Any]]] = {own: [] for own in range(seed, seed + replicas)}
    for name, training in experiment.trainings.items():
        alone = replace(experiment, trainings={owner(training): training})
        result = run(alone, out=out, seed=seed, replicas=replicas, steps=steps, task=task_of)
        for own, rows in scores(result, training).items():
            scored[own] += named(name, rows)
    path = out / f"{experiment.name}.png"
    if experiment.name in spread.CURVES:
        spread.draw(scored, spread.CURVES[experiment.name], path)
    else:
        draw(result, experiment.name, path)
    trainings = list(experiment.trainings.values())
    return {
        "name": experiment.name,
        "expected": experiment.expected,
        "windows": sorted({training.window[0] for training in trainings}),
        "period": max(max(training.net().period) for training in trainings),
        "steps": max(training.steps for training in trainings) if steps is None else steps,
        "trainings": [asdict(training) for training in trainings],
        "tiles": list(experiment.tiles),
        "scores": {str(own): rows for own, rows in scored.items()},
    }


def scores(result: Result, training: Training) -> dict[int, list[dict[str, Any]]]:
    """By seed, the rows of the tile sizes, or the one of the output window, with what `measure` adds."""
    (period,) = set(training.net().period)
    scored: dict[int, list[dict[str, Any]]] = {}
    for one in result.metrics["outcomes"]:
        _, embedding, labels = result.windows[one["name"]]
        share = one["distinct_embeddings"] / one["capacity"]
        more = {"levels": training.levels, "ndim": training.ndim, "share": share}
        scored[one["seed"]] = [_numbers(one) | of_constant(embedding, labels, period=period) | more]
    at = dict.fromkeys(result.views, 0)
    for one in result.metrics["stitchings"]:
        view, inside = result.views[one["name"]][at[one["name"]]], result.pictures[one["name"]].scored
        at[one["name"]] += 1
        parts = (array[(slice(None), *inside)] for array in (view.embedding, view.true))
        pitch = training.scene.pitch
        more = of_objects(*parts, period=period, pitch=pitch) if pitch else {}  # objects that are all alike
        worst = float(np.maximum(one["seam_disagreement"], one["grid_disagreement"]))  # NaN if one is
        jump = metrics.seam_disagreement(view.embedding, view.plan, true=view.true).grid
        _, _, way = one["name"].partition(", ")
        more |= {"seam_or_grid": worst, "line_jump": float(jump), "way": way}
        scored.setdefault(one["seed"], []).append(_numbers(one) | more)
    return scored


def named(network: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a network, each with its name and the way of its tiles, and its false splits beside the others'."""
    ways: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        ways.setdefault(row.get("way", ""), []).append(row)
    found = []
    for way, own in ways.items():
        more = splits_over_legal(own) if "legal_tile" in own[0] else None
        for k, row in enumerate(own):
            kept = {key: value for key, value in row.items() if key != "way"}
            name = {"network": f"{network}, {way}" if way else network}
            found.append(name | kept | ({"splits_over_legal": more[k]} if more else {}))
    return found


def _numbers(one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key not in ("name", "seed", "expected")}


def draw(result: Result, name: str, path: Path) -> None:
    """The figure of the first seed."""
    first = next(iter(result.views or result.windows))
    title = f"{name}/seed {result.metrics['config']['seed']}"  # checkpoints may be another experiment's
    chosen = {
        key: [one | {"name": title} for one in result.metrics[key] if one["name"] == first]
        for key in ("stitchings", "outcomes")
    }
    parts = ("views", "windows", "pictures", "references")
    shown = {part: {title: getattr(result, part)[first]} for part in parts if first in getattr(result, part)}
    figure.draw(Result({**result.metrics, **chosen}, **shown), path)
