"""All rows, one after another, each kept as soon as it is there, so that an interrupted run goes on with the next."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from shiftjax._experiments.experiment import Experiment, Training
from shiftjax._experiments.reproduction.claims import NAMES, claims, judge
from shiftjax._experiments.reproduction.page import page
from shiftjax._experiments.reproduction.row import row
from shiftjax._experiments.run import ExistingRunError, open_folder, write_json
from shiftjax._experiments.settings import find


def reproduce(
    out: Path, *, size: str, seed: int, replicas: int, steps: int | None = None, only: Sequence[str] = NAMES
) -> dict[str, Any]:
    """Runs the experiments `only`, writes results.md, results.json and figures into `out`, and returns the results.

    Rows that `out` holds are not run again; a training that was interrupted goes on from its last checkpoint. A row
    whose images are not installed is left out.

    Raises:
        ExistingRunError: `out` holds anything but a run with the same options.
    """
    experiments = {name: find(name, size) for name in NAMES}
    options = {"size": size, "seed": seed, "replicas": replicas, "steps": steps}
    open_folder(out, {**options, "experiments": _settings(experiments)}, resume=out.exists(), option="--out")
    kept = out / "rows"
    kept.mkdir(exist_ok=True)
    for name in (name for name in NAMES if name in only):
        path = kept / f"{name}.json"
        if not path.exists():
            print(f"{name}: {experiments[name].expected}")
            start = time.monotonic()
            shared = partial(owner, experiments=experiments)
            try:
                write_json(path, row(experiments[name], shared, out=out, seed=seed, replicas=replicas, steps=steps))
                print(f"{name}: {time.monotonic() - start:.0f} s")
            except ImportError as missing:  # the package with its images
                print(f"{name}: not run; {missing}")
        results = {"run": options, "machine": machine(), "rows": [_judged(kept, experiments[name]) for name in NAMES]}
        write_json(out / "results.json", results)
        draft = out / "results.md.tmp"
        draft.write_text(page(results))
        draft.replace(out / "results.md")
    return results


def _settings(experiments: Mapping[str, Experiment]) -> dict[str, Any]:
    """What JSON can hold of the experiments."""
    networks = {
        name: [asdict(training) for training in experiment.trainings.values()]
        for name, experiment in experiments.items()
    }
    return {name: {**vars(experiments[name]), "trainings": networks[name]} for name in experiments}


def _judged(folder: Path, experiment: Experiment) -> dict[str, Any]:
    """The row of an experiment, judged anew from its scores; one that was not run has neither."""
    path = folder / f"{experiment.name}.json"
    if path.exists():
        try:
            row = dict(json.loads(path.read_text()))
        except ValueError:
            raise ExistingRunError(
                f"--out: expected the scores of a row in {path}, found none; delete that file"
            ) from None
        return row | judge(claims(experiment.name, row["period"]), list(row["scores"].values()))
    return {"name": experiment.name, "expected": experiment.expected}


def owner(training: Training, experiments: Mapping[str, Experiment]) -> str:
    """A name of a training among all experiments, and of no other: its checkpoints serve all that train alike."""
    named = [(name, *item) for name, experiment in experiments.items() for item in experiment.trainings.items()]
    experiment, own = next((experiment, own) for experiment, own, other in named if other == training)
    shared = any(name == own and other != training for _, name, other in named)
    return f"{experiment}-{own}" if shared else own


def machine() -> dict[str, str]:
    """What the numbers were made with."""
    packages = {package: version(package) for package in ("jax", "flax", "optax", "numpy")}
    return {
        "platform": f"{jax.default_backend()} ({platform.machine()}, {os.cpu_count()} cores)",
        "Python": platform.python_version(),
        **packages,
    }
