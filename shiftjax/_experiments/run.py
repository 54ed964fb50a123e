"""Runs an experiment: train, stitch, score, write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from shiftjax import metrics, theory
from shiftjax._experiments.data import Picture
from shiftjax._experiments.evaluate import Stitched, Whole, key_of, score, stitch, whole_picture
from shiftjax._experiments.experiment import DELTA_DIST, Experiment, Training
from shiftjax._experiments.task import Task, scene_task
from shiftjax._experiments.ways import ways
from shiftjax._typing import Array
from shiftjax.clustering import mean_shift
from shiftjax.nets import UNet
from shiftjax.tiling import TilePlan, plan_tiles
from shiftjax.training import Checkpoints, History, State, initial_state, make_step, stack, train, unstack

Plans = Callable[..., TilePlan]

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


def open_folder(out: Path, config: dict[str, Any], *, resume: bool, option: str = "--resume") -> None:
    """Claims `out` for a run with `config`; never touches a folder that holds anything else.

    Errors name the `option` by which a run goes on.

    Raises:
        ExistingRunError: the folder is not empty and `resume` is not set, or it holds a run with another config.
    """
    path = out / "config.json"
    if out.exists() and not out.is_dir():
        raise ExistingRunError(f"--out: expected a folder, found the file {out}; choose another --out")
    if resume and not out.exists():
        raise ExistingRunError(
            f"{option}: expected a run in {out}, found no such folder; leave {option} out to start it"
        )
    begun = set(out.iterdir()) if out.exists() else set()
    if not begun - {path.with_suffix(".tmp")}:  # nothing, or what a process left that was killed here
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, config)
        return
    if not resume:
        raise ExistingRunError(f"--out: expected a new folder, found {out}; add --resume, or choose another --out")
    try:
        started_with = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        raise ExistingRunError(f"{option}: expected a run in {out}, found no readable config.json there") from None
    as_read = json.loads(json.dumps(config))
    other = sorted(k for k in as_read.keys() | started_with.keys() if as_read.get(k) != started_with.get(k))
    if other:
        raise ExistingRunError(
            f"{option}: expected the options that {out} was started with, found other {', '.join(other)}; repeat them, "
            "or choose another --out"
        )


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file completely or not at all. An undefined score is NaN there, which Python's json reads."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(draft, path)


@dataclass(frozen=True)
class Trained:
    """One trained replica of one network."""

    name: str
    seed: int
    training: Training
    task: Task
    net: UNet
    variables: Any
    plan: Plans


def run(
    experiment: Experiment,
    *,
    out: Path,
    seed: int = 0,
    replicas: int = 1,
    steps: int | None = None,
    dtype: str = "float32",
    task: Callable[[Training], Task] = scene_task,
) -> Result:
    """Trains every network of `experiment`, stitches its output and scores it.

    Checkpoints go to `out / "checkpoints" / NETWORK`; a run that has some there continues from the newest.
    """
    networks = {name: asdict(training) for name, training in experiment.trainings.items()}
    options = {"seed": seed, "replicas": replicas, "steps": steps, "dtype": dtype, "expected": experiment.expected}
    config = {**options, "networks": networks}
    result = Result({"experiment": experiment.name, "config": config, "stitchings": [], "outcomes": []})
    # Where the output is stitched, the plan crops it as tiles need it, so the network itself does not.
    examine, changes = (_stitch, {"crop": None}) if experiment.tiles else (_examine_window, {})
    rates = []
    for name, training in experiment.trainings.items():
        job = task(training)
        count = training.steps if steps is None else steps
        states, history = _train(training, job, count, out / "checkpoints" / name, range(seed, seed + replicas), dtype)
        rates.append(history.steps_per_second)
        plans = plans_of_one_network()
        for own_seed, state in enumerate(unstack(states), seed):
            net = training.net(dtype=jnp.dtype(dtype), **changes)
            label = name if replicas == 1 else f"{name}/seed {own_seed}"
            trained = Trained(label, own_seed, training, job, net, state.variables, plans)
            examine(experiment, trained, result)
    finite = [rate for rate in rates if np.isfinite(rate)]
    result.metrics["steps_per_second"] = float(np.mean(finite)) if finite else None
    return result


def _train(
    training: Training, task: Task, steps: int, folder: Path, seeds: Sequence[int], dtype: str
) -> tuple[State, History]:
    """The states of all replicas after `steps` steps, with checkpoints in `folder`."""
    net = training.net(dtype=jnp.dtype(dtype))
    rate = training.learning_rate
    adam = optax.adam(optax.cosine_decay_schedule(rate, max(1, steps)) if training.decay else rate)
    optimizer = adam if training.clip is None else optax.chain(optax.clip_by_global_norm(training.clip), adam)
    image, _ = jax.eval_shape(task.sample, jax.random.key(0))  # the shape alone: nothing is drawn
    states = stack([initial_state(key_of(seed, 0), net, optimizer, image) for seed in seeds])
    with Checkpoints(folder) as checkpoints:
        if checkpoints.latest is not None:
            states = checkpoints.restore(states)
        step = make_step(net, optimizer, task.sample, task.loss)
        return train(step, states, steps, checkpoints=checkpoints, progress=f"train {folder.name}")


def plans_of_one_network() -> Plans:
    """`plan_tiles` that plans each tile once: a plan depends on the shapes of parameters, which replicas share.

    Where functions differ in more than their parameters, `about` says what of.
    """
    made: dict[Any, TilePlan] = {}

    def plan(
        apply: Callable[[Array], Array], shape: tuple[int, ...], about: Hashable = None, **options: Any
    ) -> TilePlan:
        key = (about, shape, *options.items())
        if key not in made:
            made[key] = plan_tiles(apply, shape, **options)
        return made[key]

    return plan


def _stitch(experiment: Experiment, trained: Trained, result: Result) -> None:
    """Stitches the test picture with every tile size, each way the network's tiles are computed, and scores it."""
    picture = trained.task.picture(experiment.area, key_of(trained.seed, 2))
    for way in ways(trained.training, trained.net, trained.variables, picture):
        name = f"{trained.name}, {way.name}" if way.name else trained.name
        plan = partial(trained.plan, way.apply, picture.image.shape, about=way.constants)
        whole = whole_picture(way.apply, trained.task, picture, plan(tile=max(experiment.tiles)))
        views = result.views[name] = []
        result.pictures[name], result.references[name] = picture, whole
        for tile in experiment.tiles:
            print(f"stitch {name} with tiles of {tile} px")
            view = stitch(
                way.predict,
                trained.task,
                picture,
                plan(tile=tile, illegal_tile=True),
                bandwidth=experiment.bandwidth,
                key=key_of(trained.seed, 3),
                min_size=experiment.min_size,
            )
            views.append(view)
            row = score(view, whole, train_window=trained.training.window[0], planned=way.planned)
            result.metrics["stitchings"].append({"name": name, "seed": trained.seed, **row})


def _examine_window(experiment: Experiment, trained: Trained, result: Result) -> None:
    """Counts the embeddings that the network tells apart in one output window, beside the bound on that number."""
    image, labels = jax.jit(trained.task.sample)(key_of(trained.seed, 2))
    embedding = np.asarray(jax.jit(trained.net.apply)(trained.variables, image), np.float32)
    training, scene = trained.training, trained.training.scene
    constant = scene.kind == "constant"
    objects = np.asarray(labels) if constant else uncut(np.asarray(labels))
    tolerance = SAME_EMBEDDING if constant else DELTA_DIST
    clusters = mean_shift(embedding, bandwidth=experiment.bandwidth, key=key_of(trained.seed, 3))
    result.windows[trained.name] = np.asarray(image), embedding, np.asarray(labels)
    result.metrics["outcomes"].append(
        {
            "name": trained.name,
            "seed": trained.seed,
            "distinct_embeddings": metrics.distinct_embeddings(embedding, objects, tolerance=tolerance),
            "clusters": int(np.sum(clusters.valid)),
            "capacity": theory.lattice_capacity(trained.net.period, (1 if constant else scene.pitch,) * training.ndim),
            "expected": experiment.expected,
        }
    )


def uncut(labels: np.ndarray) -> np.ndarray:
    """The labels without the objects that the border cuts: the mean of a part is not that of the object."""
    inner = (slice(None), *(slice(1, -1),) * (labels.ndim - 1))
    border = labels.copy()
    border[inner] = 0
    return np.where(np.isin(labels, border), 0, labels)
