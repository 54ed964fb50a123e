"""Stitch, cluster once, and score."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from shiftjax import metrics, theory
from shiftjax._experiments.data import Picture
from shiftjax._experiments.experiment import DELTA_DIST
from shiftjax._experiments.task import Task
from shiftjax._typing import Array, PRNGKeyArray
from shiftjax.clustering import mean_shift
from shiftjax.labelling import connected_components, drop_small
from shiftjax.tiling import TilePlan, predict_tiled


class Whole(NamedTuple):
    """The network's output on the whole picture, to compare stitched ones with: arrays `(batch, *space, channel)`."""

    output: np.ndarray
    embedding: np.ndarray


class Stitched(NamedTuple):
    """One picture, predicted with one tile size: arrays `(batch, *space, ...)` over the whole picture."""

    plan: TilePlan
    output: np.ndarray
    embedding: np.ndarray
    true: np.ndarray
    instances: np.ndarray
    collapsed: bool  # whether all foreground is one cluster


def stitch(
    predict: Callable[[Array, TilePlan], np.ndarray],
    task: Task,
    picture: Picture,
    plan: TilePlan,
    *,
    bandwidth: float,
    key: PRNGKeyArray,
    min_size: int = 0,
) -> Stitched:
    """Predicts `picture` tile by tile, legal ones or not, and finds its instances.

    The stitched foreground is clustered once (clustering tile by tile would cause seams of its own); an instance is a
    connected region of foreground pixels of one cluster. Outside the scored window there are neither true nor predicted
    instances.
    """
    output = predict(picture.image, plan)
    embedding, foreground = task.read(output, picture.image)
    clusters = mean_shift(embedding, bandwidth=bandwidth, key=key, mask=foreground)
    codes = np.asarray(clusters.labels)
    instances = drop_small(connected_components(codes), min_size=min_size)
    inside = np.zeros(codes.shape, bool)
    inside[(slice(None), *picture.scored)] = True
    true, instances = (np.where(inside, labels, 0) for labels in (picture.labels, instances))
    return Stitched(plan, output, embedding, true, instances, len(np.unique(codes[inside & foreground])) < 2)


def whole_picture(apply: Callable[[Array], Array], task: Task, picture: Picture, plan: TilePlan) -> Whole:
    """Predicts the whole picture, by legal tiles."""
    output = predict_tiled(apply, picture.image, plan)
    return Whole(output, task.read(output, picture.image)[0])


def score(stitched: Stitched, whole: Whole, *, train_window: int, planned: bool = True) -> dict[str, object]:
    """A row of the table: what was measured, and whether tile and window are legal.

    Where tiles do not read what was `planned`, nothing is proved of them.

    `differs_from_whole` is the root mean square difference from the output of the whole picture, in units of that
    output's standard deviation; for `seam_excess` see there.

    A network whose foreground is all one cluster cuts nothing, so the disagreements at seams and grid are NaN then,
    which counts as neither seams nor none.
    """
    plan, true, instances = stitched.plan, stitched.true, stitched.instances
    seam = metrics.seam_disagreement(instances, plan, true=true)
    codes = metrics.distinct_embeddings(stitched.embedding, true, tolerance=DELTA_DIST)
    counts = metrics.split_merge_counts(true, instances)
    return {
        "train_window": train_window,
        "tile": plan.tile_output[0],
        "period": plan.period[0],
        "legal_tile": plan.legal,
        "legal_window": theory.sees_every_neighbour((train_window,) * len(plan.period), plan.period),
        "equals_whole": planned and plan.equals_whole,
        "seam_excess": seam_excess(stitched, whole),
        "seam_disagreement": float("nan") if stitched.collapsed else float(seam.value),
        "grid_disagreement": float("nan") if stitched.collapsed else float(seam.grid),
        "false_splits": int(counts.splits),
        "false_merges": int(counts.merges),
        "average_precision": float(metrics.average_precision(true, instances)),
        "distinct_embeddings": codes,
        # Where the output is constant, any difference is large, not infinite.
        "differs_from_whole": rms(stitched.output - whole.output) / max(float(np.std(whole.output)), 1e-12),
    }


def seam_excess(stitched: Stitched, whole: Whole) -> float:
    """How much more the stitched embedding jumps across its seams than the whole picture's along the same lines.

    A jump is the distance of neighbouring pixels of one true object, in units of the root mean square distance of two
    random foreground pixels: `rate_seam` of `seam_disagreement`. What the network does along those lines anyway
    cancels, so that seams show before they cut an object: exactly 0 where stitching repeats the whole picture, above 0
    where neighbouring tiles disagree. Below 0, the whole picture has lines of its own there, which the tiles moved.
    """
    jumps = [
        metrics.seam_disagreement(embedding, stitched.plan, true=stitched.true).rate_seam
        for embedding in (stitched.embedding, whole.embedding)
    ]
    return float(jumps[0] - jumps[1])


def departure(stitched: Stitched, whole: Whole) -> np.ndarray:
    """Distance `(batch, *space)` of the stitched output from the whole picture's, in its standard deviations."""
    return np.linalg.norm(stitched.output - whole.output, axis=-1) / max(float(np.std(whole.output)), 1e-12)


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def seamless(row: dict) -> bool:
    """Whether a row shows no seams, in a segmentation good enough to tell; False for NaN."""
    segmented = row["false_splits"] == 0 and row["average_precision"] >= 0.9
    return abs(row["seam_disagreement"]) <= 0.02 and row["grid_disagreement"] <= 0.05 and segmented


def seams(row: dict) -> bool:
    """Whether a row shows seams."""
    return row["seam_disagreement"] >= 0.5 or row["grid_disagreement"] >= 0.5


def verdict(row: dict) -> str:
    """A row in words; where it shows neither seams nor their absence, whether tiles repeat the whole image."""
    if seamless(row):
        return "no seams"
    if seams(row):
        return "seams"
    return "as the whole image" if row["equals_whole"] else "not as the whole image"


def key_of(seed: int, purpose: int) -> PRNGKeyArray:
    """One seed's key for one purpose: 0 training, 2 test images, 3 clustering."""
    return jax.random.fold_in(jax.random.key(seed), purpose)
