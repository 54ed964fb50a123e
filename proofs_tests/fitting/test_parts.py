"""What a step of training is made of: windows, their variants, and the loss."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shiftjax as sj
from proofs_tests.fitting.small import IMAGE, LABELS, NET
from shiftjax.fitting._data.augment import Augmentation, augment
from shiftjax.fitting._data.intensities import HIGH, INNER, LOW, measured, percentiles, scaled
from shiftjax.fitting._data.pairs import Pair, pairs_of, survey
from shiftjax.fitting._data.sampling import Sampler
from shiftjax.fitting._network import default_network, shapes, window_for
from shiftjax.fitting._training.loss import Shape, foreground_loss, loss, separation_loss
from shiftjax.fitting._training.optimizer import mean_params, optimizer, with_total
from shiftjax.fitting._training.progress import Progress
from shiftjax.fitting._training.validation import Validation, held_out, middle

STILL = Augmentation(flips=False, scale=0, elastic=0, gain=0, offset=0, noise=0)


def window(size=16, net=NET):
    return window_for(net, shapes(net, 2, 1), 1, (size, size), IMAGE.shape)


def sampler(pairs, size=16, batch=1):
    ready = [Pair(scaled(pair.image), pair.labels.numbered()) for pair in pairs]
    return Sampler(ready, [survey(pair) for pair in ready], window(size), batch, seed=7)


def test_a_window_is_what_the_network_reads_and_gives():
    found = window()
    output = jax.eval_shape(NET.apply, shapes(NET, 2, 1), jax.ShapeDtypeStruct((1, *found.input, 1), jnp.float32))
    for (start, stop), size, whole in zip(found.crop, found.output, output.shape[1:-1], strict=True):
        assert stop - start == size
        assert 0 <= start < stop <= whole


def test_windows_depend_on_step_and_seed_alone():
    draw = sampler(pairs_of(IMAGE, LABELS), batch=3)
    for a, b in zip(draw(5), draw(5), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(draw(5)[0], draw(6)[0])


def test_images_are_drawn_alike_and_windows_hold_objects():
    sparse = np.where(LABELS == 1, 1, 0)
    sparse[40:44, 80:84] = 2
    large, small = (
        (np.pad(IMAGE, ((0, 320), (0, 320)), "reflect"), np.pad(sparse, ((0, 320), (0, 320)))),
        (IMAGE, LABELS),
    )
    pairs = pairs_of([large[0], small[0]], [large[1], small[1]])
    draw = sampler(pairs)
    seen = [draw(k)[1] for k in range(200)]
    from_small = sum(int(labels.max() > 2) for labels in seen)
    assert 60 < from_small < 140  # the large image has twenty times as many pixels
    empty = sum(not labels.any() for labels in seen)
    anywhere = np.random.default_rng(0)
    starts = [(anywhere.integers(0, 360), anywhere.integers(0, 390)) for _ in range(100)]
    assert empty < 80 < sum(not large[1][y : y + 24, x : x + 24].any() for y, x in starts)


def test_augmentation_moves_image_and_labels_together():
    labels = jnp.asarray(LABELS)[None]
    image = (labels > 0).astype(jnp.float32)[..., None]
    moved, where = augment(jax.random.key(0), image, labels, Augmentation(gain=0, offset=0, noise=0))
    agree = ((np.asarray(moved)[..., 0] > 0.5) == (np.asarray(where) > 0)).mean()
    assert agree > 0.97
    assert ((np.asarray(image)[..., 0] > 0.5) == (np.asarray(where) > 0)).mean() < 0.9  # the control: something moved
    for a, b in zip(augment(jax.random.key(0), image, labels, STILL), (image, labels), strict=True):
        assert np.allclose(a, b, atol=1e-5)


@pytest.mark.deep
@pytest.mark.parametrize("shape", [(1, 40), (1, 30, 40), (1, 10, 16, 16)])
def test_augmentation_in_any_dimension(shape):
    image, labels = jnp.ones((*shape, 2)), jnp.ones(shape, jnp.int32)
    changed = augment(jax.random.key(1), image, labels, Augmentation(spacing=(8,) * (len(shape) - 1)))
    assert [x.shape for x in changed] == [(*shape, 2), shape]


def test_elastic_changes_are_as_flat_as_objects():
    """Points 4 px apart in z move less there than points 32 px apart in y; of one distance, as far."""
    z = jnp.broadcast_to(jnp.arange(16.0)[:, None, None, None], (16, 64, 64, 1))
    y = jnp.broadcast_to(jnp.arange(64.0)[:, None, None], (16, 64, 64, 1))

    def moved(spacing):
        how = STILL._replace(elastic=0.1, spacing=spacing)
        out, _ = augment(jax.random.key(0), jnp.concatenate([z, y], -1)[None], jnp.ones((1, 16, 64, 64), int), how)
        difference = np.abs(np.asarray(out[0]) - np.concatenate([z, y], -1))[4:-4, 16:-16, 16:-16]
        return difference.mean(axis=(0, 1, 2))

    flat, even = moved((4, 32, 32)), moved((32, 32, 32))
    assert 3 * flat[0] < flat[1]
    assert 3 * even[0] > even[1]


def test_a_threshold_lies_in_the_middle_of_those_that_do_as_well():
    assert [middle(scores, 0.05) for scores in ([1, 1, 1, 1, 1], [0.5, 0.9, 0.92, 0.88, 0.3], [0.9, 0.2, 0.9])] == [
        2,
        2,
        0,
    ]
    assert middle([0.9, 0.8, 0.7], 0.05) == 0  # the control: a clear best one is taken
    assert middle([0.7, 0.9, 0.91, 0.7], 0.05) == 2  # of two in the middle, the better one


def test_few_objects_do_not_make_earlier_weights_better():
    few, many = (Validation([], [np.arange(n + 1)[None]]) for n in (9, 900))
    assert not few.better(1.0, 0.85)
    assert many.better(1.0, 0.85)


def two(gap):
    labels = np.zeros((1, 12, 24), np.int32)
    labels[:, 2:10, 2:12], labels[:, 2:10, 12 + gap : 22] = 1, 2
    return jnp.asarray(labels)


def test_the_foreground_learns_a_gap_between_objects_that_touch():
    labels = two(0)
    with_gap = jnp.where((labels > 0) & ((jnp.arange(24) < 11) | (jnp.arange(24) > 12)), 20.0, -20.0)
    without = jnp.where(labels > 0, 20.0, -20.0)
    assert foreground_loss(with_gap, labels, (1, 1)) < 0.01 < foreground_loss(without, labels, (1, 1))
    apart = two(6)
    assert foreground_loss(jnp.where(apart > 0, 20.0, -20.0), apart, (1, 1)) < 0.01


def test_codes_are_compared_within_neighbourhoods_only():
    far = np.zeros((1, 8, 64), np.int32)
    far[:, :, :6], far[:, :, 58:] = 1, 2
    near = np.zeros((1, 8, 64), np.int32)
    near[:, :, :6], near[:, :, 6:12] = 1, 2
    same = jnp.zeros((1, 8, 64, 2))
    assert separation_loss(same, jnp.asarray(far), (8, 16)) < 0.1 < separation_loss(same, jnp.asarray(near), (8, 16))


def test_many_objects_and_none_make_a_finite_loss():
    many = jnp.arange(1, 1 + 24 * 24, dtype=jnp.int32).reshape(1, 24, 24)
    output = jax.random.normal(jax.random.key(0), (1, 24, 24, 3))
    for labels in (many, 0 * many, 0 * many + 5):
        value, gradient = jax.value_and_grad(loss)(output, labels, Shape((1, 1), (24, 24)))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_typical_background_and_objects():
    draw = sampler(pairs_of(IMAGE, LABELS))
    typical = measured(draw(k) for k in range(10))
    pixels = np.asarray(typical.relative(draw.pairs[0].image.read(draw.pairs[0].image.everything)))[0, ..., 0]
    assert abs(np.median(pixels[LABELS == 0])) < 0.05
    assert abs(np.median(pixels[LABELS > 0]) - 1) < 0.1


@pytest.mark.parametrize(
    ("extent", "space", "factors"),
    [
        ((10, 10), (200, 200), ((2, 2),) * 2),
        ((30, 40), (200, 200), ((2, 2),) * 3),
        ((30, 10), (200, 200), ((2, 2), (2, 2), (2, 1))),
        ((300, 300), (999, 999), ((2, 2),) * 4),
        ((30, 30), (200, 9), ((2, 2), (2, 2), (2, 1))),
        ((4, 30, 30), (7, 99, 99), ((2, 2, 2), (1, 2, 2))),
    ],
)
def test_the_default_network_sees_an_object_or_20_px_in_3d(extent, space, factors):
    assert tuple(default_network(extent, space).factors) == factors


@pytest.mark.parametrize(
    ("count", "share", "sizes"),
    [(10, None, (8, 2)), (2, None, (1, 1)), (5, 0.4, (3, 2)), (1, 0.5, (1, 1)), (3, 0, (3, 0))],
)
def test_what_is_held_out(count, share, sizes):
    pairs = pairs_of([IMAGE] * count, [LABELS] * count)
    train, test = held_out(pairs, share, window())
    assert (len(train), len(test)) == sizes
    if count == 1:  # a part of the only image, and nothing twice
        assert train[0].space[1] + test[0].space[1] == IMAGE.shape[1]
        parts = [pair.image.read(pair.image.everything)[0, ..., 0] for pair in (*train, *test)]
        assert np.array_equal(np.concatenate(parts, axis=1), IMAGE)


def test_the_learning_rate_warms_up_and_falls():
    adam = optimizer(1e-2)
    params = {"a": jnp.zeros(3)}
    state = with_total(adam.init(params), 200)
    sizes = []
    for _ in range(200):
        change, state = adam.update({"a": jnp.ones(3)}, state, params)
        params = jax.tree.map(jnp.add, params, change)
        sizes.append(float(abs(change["a"]).max()))
    assert sizes[0] < sizes[20] < sizes[50]
    assert sizes[50] > sizes[120] > sizes[199]
    assert sizes[199] < 1e-4
    assert float(mean_params(state)["a"][0]) == pytest.approx(float(params["a"][0]), abs=0.05)


def test_large_images_are_read_window_by_window(monkeypatch):
    monkeypatch.setattr("shiftjax.fitting._data.pictures.IN_MEMORY", 100)
    monkeypatch.setattr("shiftjax.fitting._data.intensities.IN_MEMORY", 100)
    lazy = sampler(pairs_of(IMAGE, LABELS.astype(np.uint64)))
    monkeypatch.undo()
    kept = sampler(pairs_of(IMAGE, LABELS))
    for a, b in zip(lazy(3), kept(3), strict=True):
        assert a.dtype == b.dtype
        assert np.allclose(a > 0, b > 0)
    assert sj.relabel(lazy(3)[1]).max() == sj.relabel(kept(3)[1]).max()


def test_labels_that_float32_cannot_tell_apart_stay_apart(monkeypatch):
    large = np.where(LABELS > 0, 2**24 + LABELS, 0).astype(np.int32)
    assert np.float32(2**24 + 1) == np.float32(2**24)  # the control: bent windows are computed in float32
    monkeypatch.setattr("shiftjax.fitting._data.pictures.IN_MEMORY", 100)  # not numbered anew
    draw = sampler(pairs_of(IMAGE, large))
    monkeypatch.undo()
    for step in range(5):
        images, labels = draw(step)
        _, moved = augment(jax.random.key(0), jnp.asarray(images), jnp.asarray(labels), STILL)
        assert np.array_equal(moved, labels)


def dark(share):
    """Dark objects on a bright background with noise: an image and its labels."""
    labels = np.zeros((100, 100), np.int32)
    labels[: round(100 * share)] = 1
    noise = np.random.default_rng(round(1000 * share)).normal(0, 3, labels.shape)
    return (100 + noise - 60 * labels).astype(np.float32), labels


def contrasts(pairs, *options):
    for pair in pairs:
        image, labels = (
            scaled(pair.image, *options).read(pair.image.everything),
            pair.labels.read(pair.labels.everything),
        )
        yield float(np.median(image[labels > 0]) - np.median(image[labels == 0]))


def test_few_dark_objects_differ_from_the_background_alike_in_all_images():
    pairs = pairs_of(*(list(each) for each in zip(*map(dark, (0.01, 0.03, 0.08)), strict=True)))
    assert percentiles(pairs) == INNER
    found = list(contrasts(pairs, *INNER))
    assert np.std(found) < 0.1 * abs(np.mean(found))
    by_default = list(contrasts(pairs))  # the control: there they do not
    assert np.std(by_default) > 0.2 * abs(np.mean(by_default))


def test_the_usual_percentiles_are_kept_where_they_are_steady():
    many = pairs_of(*(list(each) for each in zip(*map(dark, (0.3, 0.35, 0.4)), strict=True)))
    one = pairs_of(*dark(0.01))
    assert percentiles(many) == percentiles(one) == (LOW, HIGH)


def test_percentiles_of_a_channel_that_shows_nothing_and_of_labels_that_fill_the_image():
    images, labels = zip(*map(dark, (0.01, 0.03, 0.08)), strict=True)
    noise = [np.random.default_rng(k).normal(0, 1, image.shape).astype(np.float32) for k, image in enumerate(images)]
    both = pairs_of([np.stack(each, -1) for each in zip(noise, images, strict=True)], list(labels), axes="yxc")
    assert percentiles(both) == INNER
    full = pairs_of(list(images), [np.ones_like(each) for each in labels])
    assert percentiles(full) == (LOW, HIGH)  # nothing to compare, and no warning


def test_without_a_console_nothing_is_said(monkeypatch, capsys):
    for stderr, lines in ((sys.stderr, 1), (None, 0)):
        monkeypatch.setattr(sys, "stderr", stderr)
        Progress(shown=True).say("a sentence")
        out, err = capsys.readouterr()
        assert (out, err.count("a sentence")) == ("", lines)
