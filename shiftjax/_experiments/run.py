"""Runs an experiment: train, stitch, score, write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from shiftjax import lattice_capacity, mean_shift, metrics
from shiftjax._experiments.data import Picture
from shiftjax._experiments.evaluate import Stitched, Whole, key_of, score, stitch, whole_picture
from shiftjax._experiments.settings import DELTA_DIST, Experiment, Training
from shiftjax._experiments.task import Task, scene_task
from shiftjax._typing import Array
from shiftjax.nets import UNet
from shiftjax.training import Checkpoints, History, State, initial_state, make_step, stack, train, unstack

SAME_EMBEDDING = 1e-3  # embeddings of a constant image closer than this are one


@dataclass
class Result:
    """The result of a run: `metrics` for metrics.json, and for the figure, by network:

    Attributes:
        views: the picture stitched with each tile size.
        windows: image, embedding and labels of one output window, where nothing is stitched.
        pictures: the test picture.
        references: the whole picture's output, which stitching should repeat.
    """

    metrics: dict[str, Any]
    views: dict[str, list[Stitched]] = field(default_factory=dict)
    windows: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)
    references: dict[str, Whole] = field(default_factory=dict)


class ExistingRunError(ValueError):
    """The output folder holds a run already."""


def open_folder(out: Path, config: dict[str, Any], *, resume: bool) -> None:
    """Claims `out` for a run with `config`; never touches a folder that holds anything else.

    Raises:
        ExistingRunError: the folder is not empty and `resume` is not set, or it holds a run with another config.
    """
    path = out / "config.json"
    if out.exists() and not out.is_dir():
        raise ExistingRunError(f"--out: expected a folder, found the file {out}; choose another --out")
    if resume and not out.exists():
        raise ExistingRunError(
            f"--resume: expected a run in {out}, found no such folder; leave --resume out to start it"
        )
    if not out.exists() or not any(out.iterdir()):
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, config)
        return
    if not resume:
        raise ExistingRunError(f"--out: expected a new folder, found {out}; add --resume, or choose another --out")
    try:
        started_with = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        raise ExistingRunError(f"--resume: expected a run in {out}, found no readable config.json there") from None
    as_read = json.loads(json.dumps(config))
    other = sorted(k for k in as_read.keys() | started_with.keys() if as_read.get(k) != started_with.get(k))
    if other:
        raise ExistingRunError(
            f"--resume: expected the options that {out} was started with, found other {', '.join(other)}; repeat them, "
            "or choose another --out"
        )


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file completely or not at all. An undefined score is NaN there, which Python's json reads."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(draft, path)


def run(
    experiment: Experiment,
    *,
    out: Path,
    seed: int = 0,
    replicas: int = 1,
    steps: int | None = None,
    dtype: str = "float32",
    task: Callable[[Training], Task] = scene_task,
    say: Callable[[str], None] = print,
) -> Result:
    """Trains every network of `experiment`, stitches its output and scores it.

    Checkpoints go to `out / "checkpoints" / NETWORK`; a run that has some there continues from the newest.
    """
    config = {"seed": seed, "replicas": replicas, "steps": steps, "dtype": dtype, "expected": experiment.expected}
    networks = {name: asdict(training) for name, training in experiment.trainings.items()}
    result = Result({"experiment": experiment.name, "config": {**config, "networks": networks}, "stitchings": []})
    rates, outcomes = [], []
    for name, training in experiment.trainings.items():
        job = task(training)
        states, history = _train(training, job, name, out, seed, replicas, steps, dtype)
        rates.append(history.steps_per_second)
        for replica, state in enumerate(unstack(states)):
            # The plan crops the output as tiles need it, so the network itself does not.
            net = training.net(dtype=jnp.dtype(dtype), **({"crop": None} if experiment.tiles else {}))
            label = name if replicas == 1 else f"{name}/seed {seed + replica}"
            if experiment.tiles:
                picture = job.picture(experiment.area, key_of(seed + replica, 2))
                apply = jax.tree_util.Partial(net.apply, state.variables)
                whole = whole_picture(apply, job, picture, max(experiment.tiles))
                rows, views = _stitchings(experiment, training, job, picture, label, apply, whole, seed + replica, say)
                result.metrics["stitchings"] += rows
                result.views[label] = views
                result.pictures[label] = picture
                result.references[label] = whole
            else:
                outcome, result.windows[label] = _window(experiment, training, job, label, net, state, seed + replica)
                outcomes.append(outcome)
    finite = [rate for rate in rates if np.isfinite(rate)]
    result.metrics["steps_per_second"] = float(np.mean(finite)) if finite else None
    result.metrics["outcomes"] = outcomes
    return result


def _train(
    training: Training, task: Task, name: str, out: Path, seed: int, replicas: int, steps: int | None, dtype: str
) -> tuple[State, History]:
    net = training.net(dtype=jnp.dtype(dtype))
    count = training.steps if steps is None else steps
    rate = training.learning_rate
    adam = optax.adam(optax.cosine_decay_schedule(rate, max(1, count)) if training.decay else rate)
    optimizer = adam if training.clip is None else optax.chain(optax.clip_by_global_norm(training.clip), adam)
    image, _ = jax.eval_shape(task.sample, jax.random.key(0))
    states = stack([initial_state(key_of(seed + r, 0), net, optimizer, image) for r in range(replicas)])
    with Checkpoints(out / "checkpoints" / name) as checkpoints:
        if checkpoints.latest is not None:
            states = checkpoints.restore(states)
        step = make_step(net, optimizer, task.sample, task.loss)
        return train(step, states, count, checkpoints=checkpoints, progress=f"train {name}")


def _stitchings(
    experiment: Experiment,
    training: Training,
    task: Task,
    picture: Picture,
    label: str,
    apply: Callable[[Array], Array],
    whole: Whole,
    seed: int,
    say: Callable[[str], None],
) -> tuple[list[dict], list[Stitched]]:
    rows, views = [], []
    for tile in experiment.tiles:
        say(f"stitch {label} with tiles of {tile} px")
        view = stitch(
            apply,
            task,
            picture,
            tile,
            bandwidth=experiment.bandwidth,
            key=key_of(seed, 3),
            min_size=experiment.min_size,
        )
        rows.append({"name": label, "seed": seed, **score(view, whole, train_window=training.window[0])})
        views.append(view)
    return rows, views


def _window(
    experiment: Experiment, training: Training, task: Task, label: str, net: UNet, state: State, seed: int
) -> tuple[dict[str, Any], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """How many embeddings the network tells apart in one output window, and the bound on that number."""
    image, labels = jax.jit(task.sample)(key_of(seed, 2))
    embedding = np.asarray(jax.jit(net.apply)(state.variables, image), np.float32)
    constant = training.scene.kind == "constant"
    objects = np.asarray(labels) if constant else _uncut(np.asarray(labels))
    clusters = mean_shift(embedding, bandwidth=experiment.bandwidth, key=key_of(seed, 3))
    outcome = {
        "name": label,
        "seed": seed,
        "distinct_embeddings": metrics.distinct_embeddings(
            embedding, objects, tolerance=SAME_EMBEDDING if constant else DELTA_DIST
        ),
        "clusters": int(np.sum(clusters.valid)),
        "capacity": lattice_capacity(net.period, (1, 1) if constant else (training.scene.pitch,) * 2),
        "expected": experiment.expected,
    }
    return outcome, (np.asarray(image), embedding, np.asarray(labels))


def _uncut(labels: np.ndarray) -> np.ndarray:
    """The labels without the objects that the border cuts: the mean of a part is not that of the object."""
    inner = (slice(None), *(slice(1, -1),) * (labels.ndim - 1))
    border = labels.copy()
    border[inner] = 0
    return np.where(np.isin(labels, border), 0, labels)
