"""Average precision and split and merge counts against loops over objects, and what they must not miss."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from shiftjax.metrics import average_precision, split_merge_counts


@pytest.fixture
def own_errors():
    """Lets bad arguments reach the library's own checks, past the annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def masks(labels):
    """All objects of a batch, each as a set of flat pixel numbers."""
    flat = np.arange(labels.size).reshape(labels.shape)
    return [
        set(pixels[image == i].tolist())
        for image, pixels in zip(labels, flat, strict=True)
        for i in np.unique(image)
        if i > 0
    ]


def reference_precision(true, pred, iou):
    """AP with a matching grown one augmenting path at a time."""
    a, b = masks(true), masks(pred)
    edges = [[j for j, y in enumerate(b) if len(x & y) / len(x | y) >= iou] for x in a]
    partner: dict[int, int] = {}

    def match(i, seen):
        for j in edges[i]:
            if j not in seen:
                seen.add(j)
                if j not in partner or match(partner[j], seen):
                    partner[j] = i
                    return True
        return False

    hits = sum(match(i, set()) for i in range(len(a)))
    return hits / (len(a) + len(b) - hits) if a or b else math.nan


def reference_counts(true, pred, tau):
    def surplus(wholes, fragments):
        return sum(
            max(0, sum(len(x & y) > len(y) / 2 and len(x & y) / len(x) >= tau for y in fragments) - 1) for x in wholes
        )

    return surplus(masks(true), masks(pred)), surplus(masks(pred), masks(true))


def random_labels(rng, shape, count):
    """Blocks of random labels: objects large enough to overlap in part."""
    coarse = rng.integers(0, count + 1, [shape[0], *[-(-n // 3) for n in shape[1:]]])
    for axis in range(1, len(shape)):
        coarse = np.repeat(coarse, 3, axis)
    labels = coarse[tuple(slice(n) for n in shape)]
    return np.where(rng.random(shape) < 0.2, rng.integers(0, count + 1, shape), labels)


@pytest.mark.parametrize("shape", [(2, 40), (3, 12, 15), (1, 6, 7, 8)])
@pytest.mark.parametrize("seed", range(4))
def test_both_agree_with_loops_over_objects(shape, seed):
    rng = np.random.default_rng(seed)
    true = random_labels(rng, shape, 6)
    pred = np.where(rng.random(shape) < 0.5, true, random_labels(rng, shape, 6))
    scores = {iou: average_precision(true, pred, iou=iou) for iou in (0.05, 0.1, 0.2, 0.3, 0.5, 0.75)}
    assert scores == {iou: reference_precision(true, pred, iou) for iou in scores}
    assert len(set(scores.values())) > 2  # the case is not trivial
    for tau in (0.0, 0.05, 0.2):
        assert split_merge_counts(true, pred, tau=tau) == reference_counts(true, pred, tau)


def test_a_greedy_matching_would_score_too_low_at_small_overlaps():
    true = np.zeros((1, 1, 20), np.int32)
    pred = true.copy()
    true[0, 0, :10], true[0, 0, 10:20] = 1, 2
    pred[0, 0, 3:13], pred[0, 0, :3] = 1, 2  # pred 1 prefers true 1, which is all that pred 2 can have
    assert average_precision(true, pred, iou=0.15) == reference_precision(true, pred, 0.15) == 1.0


def test_a_match_at_exactly_the_threshold_counts():
    for shared, union, iou in ((1, 2, 0.5), (3, 5, 0.6), (7, 10, 0.7), (9, 10, 0.9)):
        true, pred = np.zeros((2, 1, union), np.int32)
        true[:], pred[0, :shared] = 1, 1
        assert average_precision(true, pred, iou=iou) == 1.0
        assert average_precision(true, pred, iou=iou + 1e-6) == 0.0


def test_a_fragment_at_exactly_tau_counts():
    true = np.ones((1, 100), np.int32)
    pred = true.copy()
    pred[0, :7] = 2
    assert split_merge_counts(true, pred, tau=0.07).splits == 1  # though 0.07 * 100 > 7 in floating point
    pred[0, 6] = 1
    assert split_merge_counts(true, pred, tau=0.07).splits == 0  # negligible


def test_cut_objects_are_splits_and_joined_objects_merges():
    true = np.zeros((1, 8, 24), np.int32)
    true[0, 1:7, 1:11], true[0, 1:7, 13:23] = 1, 2
    halves = np.where(np.arange(24) < 6, true, true * 10)
    assert split_merge_counts(true, true) == (0, 0)
    assert split_merge_counts(true, halves) == (1, 0)
    assert split_merge_counts(halves, true) == (0, 1)
    assert split_merge_counts(true, (true > 0).astype(np.int32)) == (0, 1)


def test_a_collapsed_network_does_not_pass():
    true = np.zeros((1, 20, 20), np.int32)
    for i, (y, x) in enumerate(np.ndindex(4, 4)):
        true[0, 5 * y : 5 * y + 4, 5 * x : 5 * x + 4] = i + 1
    one = (true > 0).astype(np.int32)
    assert average_precision(true, true) == 1.0
    assert average_precision(true, one) == 0.0
    assert split_merge_counts(true, one).merges == 15


def test_equal_ids_in_two_images_are_two_objects():
    true = np.ones((2, 4, 4), np.int32)
    pred = true.copy()
    pred[1] = 0
    assert average_precision(true, true) == 1.0
    assert average_precision(true, pred) == 0.5
    assert split_merge_counts(true, np.array([1, 2])[:, None, None] * true) == (0, 0)


def test_nothing_to_score_is_nan_and_nothing_found_is_zero():
    empty, full = np.zeros((1, 4, 4), np.int32), np.ones((1, 4, 4), np.int32)
    assert math.isnan(average_precision(empty, empty))
    assert average_precision(full, empty) == average_precision(empty, full) == 0.0
    assert split_merge_counts(empty, full) == (0, 0)


def test_jax_arrays_and_large_ids_will_do():
    true = np.zeros((1, 6, 6), np.uint64)
    true[0, :3], true[0, 3:] = 2**64 - 1, 7
    assert average_precision(true, jnp.asarray(true > 7, jnp.int32) + 1) == 1.0


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize("metric", [average_precision, split_merge_counts])
def test_bad_labels_are_refused_in_words(metric):
    good = np.ones((1, 4, 4), np.int32)
    for bad, words in (
        (good.astype(float), "integer labels, found float64"),
        (-good, "labels >= 0"),
        (good[0, 0], "batch axis in front"),
        (good[:, :0], "at least one pixel"),
        (good[:, :3], r"\(1, 4, 4\) of `true`"),
    ):
        with pytest.raises(ValueError, match=words):
            metric(good, bad)
    with pytest.raises(ValueError, match="outside jit"):
        jax.jit(lambda x: metric(x, x))(good)


@pytest.mark.usefixtures("own_errors")
def test_bad_thresholds_are_refused_in_words():
    good = np.ones((1, 4, 4), np.int32)
    bad: tuple[Any, ...] = (0, 1.5, -1, math.nan, "half")
    for iou in bad:
        with pytest.raises(ValueError, match="`iou`"):
            average_precision(good, good, iou=iou)
    for tau in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="`tau`"):
            split_merge_counts(good, good, tau=tau)
