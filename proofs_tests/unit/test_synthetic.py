"""Synthetic images against geometry drawn object by object, and the promises that training rests on."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import ndimage

import shiftjax
from shiftjax import synthetic
from shiftjax.labelling import connected_components
from shiftjax.synthetic._inputs import pictures

KEY = jax.random.key(7)
DISCS = synthetic.disc_lattice((64, 70), pitch=16, radius=5, origin=9)
RANDOM = {
    "elastic": lambda key: synthetic.elastic(key, *DISCS),
    "noise": lambda key: synthetic.noise(key, DISCS[0]),
    "random_crop": lambda key: synthetic.random_crop(key, *DISCS, size=(33, 20)),
    "nuclei": lambda key: synthetic.nuclei(key, (90, 96), radius=6),
}


@pytest.fixture
def own_errors():
    """Lets bad arguments reach the library's own checks, past the annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def balls(shape, pitch, squared_radius, origin):
    """Image and labels of a lattice, one ball after the other in row-major order, invisible ones skipped."""
    labels, count = np.zeros(shape, np.int32), 0
    grid = np.indices(shape)
    lines = [list(range(o % p - p, n + p, p)) for n, p, o in zip(shape, pitch, origin, strict=True)]
    for centre in itertools.product(*lines):
        ball = sum((x - c) ** 2 for x, c in zip(grid, centre, strict=True)) < squared_radius
        count += bool(ball.any())
        labels[ball] = count
    return labels[None]


@pytest.mark.parametrize(
    ("shape", "pitch", "radius", "squared", "origin"),
    [
        ((60, 71), 13, 5, 25, 9),
        ((61, 50), 16, 5, 25, 9),
        ((40, 33), (9, 14), 3.5, 12.25, (0, -3)),
        ((31, 31), 5, 5**0.5, 5, 2),
        ((30,), 7, 3, 9, 1000),
        ((17, 20, 23), (7, 8, 9), 3, 9, (1, 5, 3)),
        ((9, 9), 10**6, 4, 16, 4),
        ((6, 5), 1, 1, 1, 0),
    ],
)
def test_lattices_are_drawn_disc_by_disc(shape, pitch, radius, squared, origin):
    options = {"pitch": pitch, "radius": radius, "origin": origin}
    image, labels = synthetic.disc_lattice(shape, **options)
    pitches, origins = (v if isinstance(v, tuple) else (v,) * len(shape) for v in (pitch, origin))
    expected = balls(shape, pitches, squared, origins)
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(image[..., 0], expected > 0)
    assert (image.dtype, labels.dtype) == (jnp.float32, jnp.int32)
    assert synthetic.disc_count(shape, **options) == expected.max() > 0
    under_jit = jax.jit(functools.partial(synthetic.disc_lattice, shape, **options))()
    np.testing.assert_array_equal(under_jit[0], image)
    np.testing.assert_array_equal(under_jit[1], labels)


def test_discs_of_the_paper_have_the_pixels_of_its_inequality():
    _, labels = synthetic.disc_lattice((52, 52), pitch=13, radius=5)
    expected = sum(y * y + x * x < 25 for y in range(-5, 6) for x in range(-5, 6))
    assert expected == 69
    assert set(np.bincount(labels.ravel())[1:].tolist()) == {expected}  # by default every first disc is whole
    assert labels.max() == 16


def test_the_picture_is_periodic_up_to_its_border():
    image, _ = synthetic.disc_lattice((50, 50), pitch=13, radius=5, origin=9)
    np.testing.assert_array_equal(image[:, 13:], image[:, :-13])
    assert (image[:, 12:] != image[:, :-12]).any()


def test_the_constant_image_is_all_instances():
    image, labels = jax.jit(lambda: synthetic.constant((5, 6, 7)))()
    assert (image == 1).all()
    np.testing.assert_array_equal(labels, np.arange(1, 211).reshape(1, 5, 6, 7))


@pytest.mark.parametrize("name", RANDOM)
def test_the_key_decides(name):
    draw = RANDOM[name]
    once, again, other = draw(KEY), draw(KEY), draw(jax.random.key(8))
    for a, b, c in zip(*map(jax.tree.leaves, (once, again, other)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


@pytest.mark.parametrize("name", RANDOM)
def test_jit_changes_nothing(name):
    plain, compiled = RANDOM[name](KEY), jax.jit(RANDOM[name])(KEY)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(compiled), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        # Fused arithmetic may round a coordinate or a photon rate the other way, so a few pixels may differ.
        assert np.mean(~np.isclose(a, b, atol=1e-4)) < 2e-3


def test_the_old_kind_of_key_will_do():
    old = jax.random.PRNGKey(7)
    np.testing.assert_array_equal(synthetic.noise(old, DISCS[0]), synthetic.noise(KEY, DISCS[0]))


def test_an_elastic_warp_of_nothing_is_nothing():
    image, labels = synthetic.elastic(KEY, *DISCS, jitter=0)
    np.testing.assert_array_equal(image, DISCS[0])
    np.testing.assert_array_equal(labels, DISCS[1])


@pytest.mark.parametrize("shape", [(90,), (70, 64), (24, 30, 28)])
def test_an_elastic_warp_reads_image_and_labels_at_the_same_places(shape):
    """Warping the coordinates themselves tells where each pixel reads; SciPy then reads image and labels there."""
    rng = np.random.default_rng(0)
    texture = rng.random((1, *shape, 1)).astype(np.float32)
    labels = rng.integers(0, 99, (1, *shape)).astype(np.int32)
    ramps = np.moveaxis(np.indices(shape), 0, -1)[None].astype(np.float32)
    warped, moved_labels = synthetic.elastic(
        KEY, jnp.concatenate([texture, ramps], -1), jnp.asarray(labels), spacing=12
    )
    where = np.moveaxis(np.asarray(warped)[0, ..., 1:], -1, 0)
    read = ndimage.map_coordinates(texture[0, ..., 0].astype(float), where, order=1, mode="nearest")
    np.testing.assert_allclose(warped[0, ..., 0], read, atol=1e-4)
    nearest = labels[0][tuple(np.rint(where).astype(int))]
    assert np.mean(moved_labels[0] != nearest) < 1e-2  # ties at half a pixel
    moved = np.abs(where - np.indices(shape)).max()
    assert 1 < moved <= 2 * 0.2 * 12  # no pixel moves farther than two deviations


def test_an_elastic_warp_is_smooth_and_does_not_fold():
    shape = (120, 120)
    ramps = jnp.moveaxis(jnp.indices(shape), 0, -1)[None].astype(jnp.float32)
    for seed in range(5):
        where, _ = synthetic.elastic(jax.random.key(seed), ramps, jnp.zeros((1, *shape), jnp.int32))
        inner = np.asarray(where)[0, 10:-10, 10:-10]
        for axis in range(2):
            steps = np.diff(inner[..., axis], axis=axis)
            assert 0 < steps.min() < 0.9
            assert 1.1 < steps.max() < 1.8
            assert np.abs(np.diff(steps, axis=axis)).max() < 0.2


def test_warped_discs_stay_apart_and_keep_their_labels():
    image, labels = synthetic.disc_lattice((284, 284), pitch=16, radius=5, origin=9)
    for seed in range(3):
        warped, warped_labels = map(np.asarray, synthetic.elastic(jax.random.key(seed), image, labels))
        assert set(np.unique(warped_labels)) <= set(range(int(labels.max()) + 1))
        regions = np.asarray(connected_components((warped_labels > 0).astype(np.int32)))
        owners = [set(np.unique(warped_labels[regions == i])) for i in range(1, regions.max() + 1)]
        assert all(len(o) == 1 for o in owners)  # no two discs have run together
        assert np.mean((warped[..., 0] > 0.5) != (warped_labels > 0)) < 0.02


def test_each_image_of_a_batch_is_warped_and_cropped_on_its_own():
    image, labels = (jnp.concatenate([x, x]) for x in DISCS)
    for images, their_labels in (
        synthetic.elastic(KEY, image, labels),
        synthetic.random_crop(KEY, image, labels, size=20),
    ):
        assert (images[0] != images[1]).any()
        assert (their_labels[0] != their_labels[1]).any()


def test_noise_has_its_variance_and_stays_in_range():
    image = jnp.full((1, 200, 200, 1), 0.5)
    noisy = np.asarray(synthetic.noise(KEY, image, variance=0.01))
    assert abs(noisy.var() - 0.01) < 5e-4
    assert abs(noisy.mean() - 0.5) < 5e-3
    bright = np.asarray(synthetic.noise(KEY, image + 0.5, variance=0.25))
    assert bright.max() == 1
    assert bright.min() >= 0
    np.testing.assert_array_equal(synthetic.noise(KEY, image, variance=0), image)


def test_crops_are_windows_at_every_position():
    y, x = np.indices((9, 12))
    labels = jnp.asarray((100 * y + x)[None], jnp.int32)
    image = labels[..., None].astype(jnp.float32)
    crop = jax.jit(lambda key: synthetic.random_crop(key, image, labels, size=(8, 10)))
    corners = set()
    for seed in range(60):
        window, window_labels = crop(jax.random.key(seed))
        top, left = divmod(int(window_labels[0, 0, 0]), 100)
        np.testing.assert_array_equal(window_labels, labels[:, top : top + 8, left : left + 10])
        np.testing.assert_array_equal(window[..., 0], window_labels)
        corners.add((top, left))
    assert corners == set(itertools.product(range(2), range(3)))


@pytest.mark.parametrize(("shape", "radius"), [((90, 96), 6), ((22, 48, 52), 6)])
def test_every_nucleus_is_there_whole_and_brighter_than_background(shape, radius):
    image, labels = map(np.asarray, synthetic.nuclei(KEY, shape, radius=radius))
    sizes = np.bincount(labels.ravel())[1:]
    assert len(sizes) >= 3
    assert sizes.min() > 0
    regions = connected_components(labels)
    strays = np.bincount(regions.ravel())[1:]
    assert strays[strays < 0.02 * sizes.mean()].sum() < 0.01 * sizes.sum()
    assert len(strays[strays >= 0.02 * sizes.mean()]) == len(sizes)
    assert image[labels[..., None] > 0].mean() > 3 * image[labels[..., None] == 0].mean()
    assert -0.2 < image.min() < image.max() < 1.5


def touching(labels):
    """Pairs of labels that share a border."""
    pairs = set()
    for axis in range(1, labels.ndim):
        a, b = labels.take(range(labels.shape[axis] - 1), axis), labels.take(range(1, labels.shape[axis]), axis)
        pairs |= {tuple(sorted(p)) for p in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True)}
    return {(a, b) for a, b in pairs if 0 < a < b}


def test_nuclei_touch_in_the_pairs_that_were_asked_for():
    asked = met = strangers = 0
    for seed in range(8):
        draw = functools.partial(synthetic.nuclei, jax.random.key(seed), (90, 96), radius=6)
        labels = np.asarray(draw(touching=1)[1])
        pairs = [(i, i + 1) for i in range(1, labels.max(), 2)]
        asked, met = asked + len(pairs), met + len(touching(labels) & set(pairs))
        strangers += len(touching(np.asarray(draw(touching=0)[1])))
    assert asked == 40
    assert met >= 0.9 * asked
    assert strangers <= 0.1 * asked


def test_the_fewer_photons_the_noisier():
    draw = functools.partial(synthetic.nuclei, KEY, (90, 96), radius=6, read_noise=0)
    few, many, most = (np.asarray(draw(photons=n)[0]) for n in (10, 1000, 100_000))
    noise, light = np.var(few - most), most.mean()
    assert noise == pytest.approx(light / 10, rel=0.1)
    assert np.var(many - most) == pytest.approx(light / 1000, rel=0.1)


@pytest.mark.usefixtures("own_errors")
def test_bad_input_is_refused_in_words():
    image, labels = DISCS
    synthetic: Any = shiftjax.synthetic  # the types of the arguments are wrong on purpose
    lattice = functools.partial(synthetic.disc_lattice, (30, 30))
    cases = [
        (lambda: synthetic.constant((4, 0)), "`shape`: expected an integer >= 1"),
        (lambda: synthetic.constant(4), "sizes of the spatial axes"),
        (lambda: synthetic.constant(()), "sizes of the spatial axes"),
        (lambda: lattice(pitch=0, radius=1), "`pitch`"),
        (lambda: lattice(pitch=(9, 9, 9), radius=1), "`pitch`: expected one integer or 2"),
        (lambda: lattice(pitch=8, radius=5), "at least 9"),
        (lambda: lattice(pitch=8, radius=0), "`radius`"),
        (lambda: lattice(pitch=8, radius=3, origin=1.5), "`origin`"),
        (lambda: synthetic.elastic(0, image, labels), "jax.random.key"),
        (lambda: synthetic.elastic(jax.random.split(KEY), image, labels), "one random key"),
        (lambda: synthetic.elastic(KEY, image, labels[:, 1:]), "the pixels of `image`"),
        (lambda: synthetic.elastic(KEY, image, image[..., 0]), "integers"),
        (lambda: synthetic.elastic(KEY, image, labels, spacing=0), "`spacing`"),
        (lambda: synthetic.elastic(KEY, image, labels, jitter=-1), "`jitter`"),
        (lambda: synthetic.noise(KEY, labels), "floats"),
        (lambda: synthetic.noise(KEY, image, variance=-1), "`variance`"),
        (lambda: synthetic.random_crop(KEY, image, labels, size=65), "at most the image's"),
        (lambda: synthetic.nuclei(KEY, (20, 64)), "at least 26 pixels"),
        (lambda: synthetic.nuclei(KEY, (64, 64), count=50), "take fewer"),
        (lambda: synthetic.nuclei(KEY, (64, 64), touching=2), "`touching`: expected .* <= 1"),
        (lambda: synthetic.nuclei(KEY, (64, 64), photons=0), "`photons`"),
    ]
    for call, words in cases:
        with pytest.raises(ValueError, match=words):
            call()
    lattice(pitch=9, radius=5)  # the smallest legal pitch


@pytest.mark.parametrize("label", [2**32 + 1, -(2**32)])
def test_labels_that_jax_would_cut_are_refused(label):
    """2^32 + 1 would become label 1, which another object has."""
    image, labels = np.zeros((1, 8, 8, 1), np.float32), np.ones((1, 8, 8), np.int64)
    pictures(image, labels)  # control
    labels[0, 5:] = label
    assert (jnp.asarray(labels) == (label + 2**31) % 2**32 - 2**31).any()  # what JAX makes of it
    with pytest.raises(ValueError, match="`labels`: expected integers that int32 holds, found labels from"):
        pictures(image, labels)
