"""One experiment of the paper with several seeds, from training to its scores and its figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from shiftjax._experiments import figure
from shiftjax._experiments.experiment import Experiment, Training
from shiftjax._experiments.reproduction import spread
from shiftjax._experiments.reproduction.measure import of_constant, of_objects
from shiftjax._experiments.run import Result, run
from shiftjax._experiments.settings import SWEEP


def row(
    experiment: Experiment, owner: str, *, out: Path, seed: int, replicas: int, steps: int | None = None
) -> dict[str, Any]:
    """Trains `replicas` networks from `seed` on, scores them by seed, and draws the experiment's figure.

    Args:
        owner: the first experiment with the same training; its checkpoints in `out / "checkpoints"` serve both.
        out: folder of the run.
        steps: of training, instead of the experiment's own.

    Returns:
        What a row of the table says, for `claims.judge` to judge.
    """
    (training,) = experiment.trainings.values()
    result = run(replace(experiment, trainings={owner: training}), out=out, seed=seed, replicas=replicas, steps=steps)
    scored = scores(result, training)
    (period,) = set(training.net().period)
    draw(result, experiment.name, out / f"{experiment.name}.png")
    return {
        "name": experiment.name,
        "expected": experiment.expected,
        "window": training.window[0],
        "period": period,
        "steps": training.steps if steps is None else steps,
        "training": asdict(training),
        "tiles": list(experiment.tiles),
        "scores": {str(own): rows for own, rows in scored.items()},
    }


def scores(result: Result, training: Training) -> dict[int, list[dict[str, Any]]]:
    """By seed, the rows of the tile sizes, or the one of the output window, with what `measure` adds."""
    (period,) = set(training.net().period)
    scored: dict[int, list[dict[str, Any]]] = {}
    for one in result.metrics["outcomes"]:
        _, embedding, labels = result.windows[one["name"]]
        scored[one["seed"]] = [_numbers(one) | of_constant(embedding, labels, period=period)]
    at = dict.fromkeys(result.views, 0)
    for one in result.metrics["stitchings"]:
        view, inside = result.views[one["name"]][at[one["name"]]], result.pictures[one["name"]].scored
        at[one["name"]] += 1
        parts = (array[(slice(None), *inside)] for array in (view.embedding, view.true))
        more = of_objects(*parts, period=period, pitch=training.scene.pitch)
        worst = float(np.maximum(one["seam_disagreement"], one["grid_disagreement"]))  # NaN if one is
        scored.setdefault(one["seed"], []).append(_numbers(one) | more | {"seam_or_grid": worst})
    return scored


def _numbers(one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key not in ("name", "seed", "expected")}


def draw(result: Result, name: str, path: Path) -> None:
    """The figure of the first seed, or of a sweep the curves of all."""
    if name == SWEEP:
        spread.draw(result, path)
        return
    first = next(iter(result.views or result.windows))
    title = f"{name}/seed {result.metrics['config']['seed']}"  # checkpoints may be another experiment's
    chosen = {
        key: [one | {"name": title} for one in result.metrics[key] if one["name"] == first]
        for key in ("stitchings", "outcomes")
    }
    parts = ("views", "windows", "pictures", "references")
    shown = {part: {title: getattr(result, part)[first]} for part in parts if first in getattr(result, part)}
    figure.draw(Result({**result.metrics, **chosen}, **shown), path)
