"""Seam and grid disagreement against a loop over every pair of pixels, and what they must show or refuse to tell."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from shiftjax.metrics import seam_disagreement


@pytest.fixture
def own_errors():
    """Lets bad arguments reach the library's own checks, past the annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def tiles(stride, period, origin=None):
    return SimpleNamespace(tile_stride=stride, period=period, origin=origin or (0,) * len(stride))


def reference(prediction, plan, true=None):
    """The definition, one pair of pixels after the other: value, grid, profile, pair counts."""
    ndim = len(plan.period)
    is_embedding = prediction.ndim == ndim + 2
    objects = (prediction > 0).astype(int) if true is None else true
    s = 1.0
    if is_embedding:
        inside = [prediction[p].astype(float) for p in np.ndindex(true.shape) if true[p] > 0]
        centre = sum(inside) / len(inside)
        s = math.sqrt(2 * sum(((e - centre) ** 2).sum() for e in inside) / len(inside))
    seam, rest = [], []
    by_offset: dict[tuple[int, int], list[float]] = {
        (k, c): [] for k in range(ndim) for c in range(plan.tile_stride[k])
    }
    for b, *u in np.ndindex(objects.shape):
        for k in range(ndim):
            v = [x - (axis == k) for axis, x in enumerate(u)]
            if v[k] < 0 or objects[(b, *u)] == 0 or objects[(b, *u)] != objects[(b, *v)]:
                continue
            later, earlier = prediction[(b, *u)], prediction[(b, *v)]
            d = math.dist(later, earlier) / s if is_embedding else float(later != earlier)
            c = (u[k] - plan.origin[k]) % plan.tile_stride[k]
            by_offset[k, c].append(d)
            if c == 0:
                seam.append(d)
            elif plan.period[k] == 1 or c % plan.period[k]:
                rest.append(d)
    profile = [
        [np.mean(by_offset[k, c]) if by_offset[k, c] else math.nan for c in range(plan.tile_stride[k])]
        for k in range(ndim)
    ]
    grids: list[float] = []
    for r in ([x for x in row if not math.isnan(x)] for row in profile):
        if r:
            m = float(np.median(np.array(r)))
            grids.append(float(max(r) - m) / (1 - m) if m != 1 else math.nan)
    grid = math.nan if not grids or any(math.isnan(g) for g in grids) else max(grids)
    value: Any = math.nan
    if seam and rest and np.mean(rest) != 1:
        value = np.mean(seam) - np.mean(rest)
        value = value if is_embedding else value / (1 - np.mean(rest))
    pairs = [[len(by_offset[k, c]) for c in range(plan.tile_stride[k])] for k in range(ndim)]
    return value, grid, len(seam), len(rest), profile, pairs


def lattice(n, pitch, radius, first=0, images=1):
    """Labels of discs, drawn disc by disc."""
    labels = np.zeros((images, n, n), np.int32)
    y, x = np.indices((n, n))
    centres = itertools.product(range(first - pitch, n + pitch, pitch), repeat=2)
    for i, (cy, cx) in enumerate(centres):
        labels[:, (y - cy) ** 2 + (x - cx) ** 2 < radius**2] = i + 1
    return labels


def cut(labels, stride, offset=0):
    """New labels behind every line `offset` + a multiple of `stride`, along both axes."""
    cell = (np.arange(labels.shape[1]) - offset) // stride + 1
    return np.where(labels > 0, labels + 10_000 * (cell[:, None] * 100 + cell), 0)


CASES = [
    ((2, 30), (5,), (4,), (0,)),
    ((1, 11, 13), (4, 6), (2, 3), (1, 5)),
    ((2, 9, 10), (5, 3), (1, 4), (-3, 7)),
    ((2, 8, 7), (1, 2), (1, 2), (0, 1)),
    ((1, 5, 6, 7), (3, 4, 5), (1, 2, 5), (0, 2, 1)),
]


@pytest.mark.parametrize(("shape", "stride", "period", "origin"), CASES)
@pytest.mark.parametrize("kind", ["labels", "labels without truth", "embedding", "integer embedding"])
def test_agrees_with_a_loop_over_all_pairs(shape, stride, period, origin, kind):
    rng = np.random.default_rng(sum(shape))
    plan = tiles(stride, period, origin)
    true = np.maximum(rng.integers(-1, 3, shape), 0)
    prediction = {
        "labels": np.where(rng.random(shape) < 0.7, true, rng.integers(0, 4, shape)),
        "labels without truth": np.maximum(rng.integers(-2, 3, shape), 0),
        "embedding": rng.normal(size=(*shape, 3)).astype(np.float32),
        "integer embedding": rng.integers(-5, 5, (*shape, 2), dtype=np.int32),
    }[kind]
    truth = None if kind == "labels without truth" else true
    result = seam_disagreement(prediction, plan, true=truth)
    value, grid, pairs_seam, pairs_inside, profile, pairs = reference(prediction, plan, truth)
    np.testing.assert_allclose([result.value, result.grid], [value, grid], rtol=1e-12, atol=1e-12)
    assert (result.pairs_seam, result.pairs_inside) == (pairs_seam, pairs_inside)
    assert [row.tolist() for row in result.pairs] == pairs
    for row, expected in zip(result.profile, profile, strict=True):
        np.testing.assert_allclose(row, expected, rtol=1e-12)


def test_perfect_labels_show_no_seam():
    true = lattice(60, 13, 5)
    result = seam_disagreement(true, tiles((16, 16), (16, 16)), true=true)
    assert (result.value, result.grid) == (0.0, 0.0)
    assert result.pairs_seam > 50


def test_a_cut_at_every_seam_is_one():
    true = lattice(60, 13, 5)
    result = seam_disagreement(cut(true, 16), tiles((16, 16), (16, 16)), true=true)
    assert (result.value, result.grid) == (1.0, 1.0)
    half = np.where(np.arange(60) < 30, true, cut(true, 16))
    assert 0.2 < seam_disagreement(half, tiles((16, 16), (16, 16)), true=true).value < 0.8


def test_noise_that_cuts_everywhere_alike_is_no_seam():
    true = np.ones((1, 200, 200), np.int32)
    noisy = np.random.default_rng(0).integers(1, 3, true.shape)
    result = seam_disagreement(noisy, tiles((10, 10), (5, 5)), true=true)
    assert abs(result.value) < 0.05 < result.rate_inside


def test_embeddings_are_measured_against_the_spread_of_the_foreground():
    true = lattice(60, 13, 5)
    cell = np.arange(60) // 16 % 2
    code = np.where(true > 0, cell[:, None] ^ cell, 0)[..., None].astype(np.float32)
    plan = tiles((16, 16), (16, 16))
    result = seam_disagreement(code, plan, true=true)
    assert result.value == pytest.approx(1 / math.sqrt(2 * code[true > 0].var()))
    assert result.rate_inside == 0
    moved = seam_disagreement(7 * code - 3, plan, true=true)
    assert moved.value == pytest.approx(result.value, rel=1e-6)


def test_background_of_the_truth_does_not_count():
    true = lattice(60, 13, 5)
    prediction = np.where(true > 0, 1, np.random.default_rng(0).integers(1, 9, true.shape))
    assert seam_disagreement(prediction, tiles((16, 16), (16, 16)), true=true).value == 0


def test_period_lines_inside_tiles_show_in_the_grid_only():
    true = lattice(72, 7, 3)
    prediction = cut(true, 9, offset=8)  # trained at a window of 8 and stitched at 9
    result = seam_disagreement(prediction, tiles((9, 9), (8, 8)), true=true)
    assert abs(result.value) <= 0.02
    assert result.grid == 1.0
    assert result.profile[0].tolist() == [0.0] * 8 + [1.0]


def test_period_lines_do_not_hide_a_seam():
    true = lattice(72, 7, 3)
    prediction = cut(true, 8)  # legal tiles of two periods, all of whose period lines are cut
    result = seam_disagreement(prediction, tiles((16, 16), (8, 8)), true=true)
    assert (result.value, result.grid) == (1.0, 1.0)


def test_where_every_offset_counts_as_inside_a_network_without_pooling_is_judged():
    true = lattice(72, 7, 3)
    plan = tiles((9, 9), (1, 1))
    result = seam_disagreement(cut(true, 9), plan, true=true)
    assert result.value == 1.0
    assert result.pairs_inside + result.pairs_seam == sum(int(row.sum()) for row in result.pairs)


def test_a_collapsed_network_is_neither_seamless_nor_not():
    true = lattice(60, 13, 5)
    plan = tiles((16, 16), (16, 16))
    rng = np.random.default_rng(0)
    for constant in (0.0, 0.1, 1e6):
        same: Any = np.full((*true.shape, 3), constant, np.float32)
        rounding = same * (1 + 1e-7 * rng.standard_normal(same.shape)).astype(np.float32)
        background = np.where(true[..., None] > 0, same, 5)
        for collapsed in (same, rounding, background, jnp.asarray(same), same.astype(jnp.bfloat16)):
            result = seam_disagreement(collapsed, plan, true=true)
            assert math.isnan(result.value)
            assert math.isnan(result.grid)
    alive = rng.standard_normal((*true.shape, 3)).astype(np.float32)
    assert abs(seam_disagreement(alive, plan, true=true).value) < 0.1


def test_tiles_as_large_as_the_pitch_show_nothing():
    true = lattice(65, 13, 5, first=6)
    result = seam_disagreement(true, tiles((13, 13), (1, 1)), true=true)
    assert result.pairs_seam == 0 < result.pairs_inside
    assert math.isnan(result.value)


def test_without_pairs_or_objects_the_score_is_nan():
    true = lattice(60, 13, 5)
    for result in (
        seam_disagreement(true, tiles((1, 1), (1, 1)), true=true),
        seam_disagreement(true, tiles((16, 16), (16, 16)), true=0 * true),
        seam_disagreement(np.zeros((*true.shape, 2)), tiles((16, 16), (16, 16)), true=0 * true),
        seam_disagreement(np.arange(true.size).reshape(true.shape), tiles((16, 16), (16, 16)), true=true),
    ):
        assert math.isnan(result.value)
    assert math.isnan(result.grid)  # every pixel its own label: the median is 1


def test_an_embedding_that_changes_at_every_pixel_as_much_as_between_objects_shows_nothing():
    steps = np.tile([0.0, 1.0, 2.0, 1.0], 6)[None, :, None]  # the variance is 1/2, so that s is 1, the step
    plan, true = tiles((4,), (4,)), np.ones((1, 24), np.int32)
    result = seam_disagreement(steps, plan, true=true)
    assert result.rate_inside == 1
    assert math.isnan(result.value)
    assert seam_disagreement(np.sqrt(steps), plan, true=true).value == pytest.approx(
        reference(np.sqrt(steps), plan, true)[0]
    )


def test_axes_and_images_are_pooled_and_the_grid_takes_the_worse_axis():
    true = np.ones((2, 24, 24), np.int32)
    column = np.broadcast_to(1 + (np.arange(24) // 8)[None, None, :], true.shape)
    plan = tiles((8, 8), (8, 8))
    result = seam_disagreement(column, plan, true=true)
    assert (result.value, result.grid) == (0.5, 1.0)
    first_only = np.where(np.arange(2)[:, None, None] == 0, column, 1)
    assert seam_disagreement(first_only, plan, true=true).value == 0.25


def test_the_origin_moves_the_seams():
    true = lattice(60, 13, 5)
    prediction = cut(true, 16, offset=5)
    assert seam_disagreement(prediction, tiles((16, 16), (16, 16), (5, 5)), true=true).value == 1.0
    assert seam_disagreement(prediction, tiles((16, 16), (16, 16), (21, -11)), true=true).value == 1.0
    assert seam_disagreement(prediction, tiles((16, 16), (16, 16), (0, 0)), true=true).value < 0


@pytest.mark.usefixtures("own_errors")
def test_bad_input_is_refused_in_words():
    labels, plan = np.ones((1, 8, 8), np.int32), tiles((4, 4), (2, 2))
    embedding = np.ones((1, 8, 8, 2), np.float32)
    for prediction, keywords, words in (
        (embedding, {}, "true labels beside an embedding"),
        (embedding, {"true": labels[:, :7]}, "of `true`"),
        (embedding * np.nan, {"true": labels}, "NaN"),
        (labels.astype(float), {}, "integer labels"),
        (labels, {"true": labels[:, :7]}, "of `found`"),
        (labels[0], {}, "3 or 4 axes"),
    ):
        with pytest.raises(ValueError, match=words):
            seam_disagreement(prediction, plan, **keywords)
    with pytest.raises(ValueError, match="tile_stride, origin and period"):
        seam_disagreement(labels, object())
    with pytest.raises(ValueError, match=r"plan\.tile_stride"):
        seam_disagreement(labels, tiles((0, 4), (2, 2)))
