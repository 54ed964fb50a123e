"""Mean shift against scikit-learn, against a plain loop, and at the edges of arithmetic and memory."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import MeanShift

from shiftjax.clustering import _climb, _mean_shift, mean_shift, nearest_codes


def blobs(seed, *, pixels=600, channels=2, clusters=6, spread=4.0, width=0.3):
    """Pixels in random order around far centres, and the cluster of each."""
    rng = np.random.default_rng(seed)
    cluster = rng.permutation(np.arange(pixels) % clusters)
    centres = spread * np.array(list(np.ndindex((3,) * channels)))[rng.permutation(3**channels)[:clusters]]
    return centres[cluster] + width * rng.normal(size=(pixels, channels)), cluster


def centroids_of(clusters):
    return np.asarray(clusters.centroids)[np.asarray(clusters.valid)]


def same_partition(a, b):
    return len(set(zip(a.tolist(), b.tolist(), strict=True))) == len(set(a.tolist())) == len(set(b.tolist()))


def loop(points, starts, bandwidth, *, tol=1e-3, max_iter=300):
    """Gaussian mean shift, a seed and a step at a time, in float64; centroids, the densest first."""
    ends = []
    for x in starts:
        for _ in range(max_iter):
            weight = np.exp(-((points - x) ** 2).sum(axis=1) / (2 * bandwidth**2))
            moved = weight @ points / weight.sum()
            step, x = np.linalg.norm(moved - x), moved
            if step <= tol * bandwidth:
                break
        ends.append((weight.sum(), x))
    centroids: list[np.ndarray] = []
    for _, x in sorted(ends, key=lambda end: -end[0]):
        if all(np.linalg.norm(x - centroid) > bandwidth for centroid in centroids):
            centroids.append(x)
    return np.array(centroids)


@pytest.mark.parametrize("seed", range(4))
def test_flat_kernel_agrees_with_scikit_learn(seed, monkeypatch):
    """Same seeds, same centroids in the same order, same labels; overlapping clusters included."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # joblib warns where it cannot count the cores
    points, _ = blobs(seed, width=0.3 + 0.2 * seed)
    starts = points[:: len(points) // 40]
    clusters = mean_shift(points, bandwidth=1.5, seeds=starts, kernel="flat")
    expected = MeanShift(bandwidth=1.5, seeds=starts).fit(points)
    np.testing.assert_allclose(centroids_of(clusters), expected.cluster_centers_, atol=1e-4)
    np.testing.assert_array_equal(clusters.labels, expected.labels_ + 1)
    assert clusters.converged
    gaussian = mean_shift(points, bandwidth=1.5, seeds=starts)  # control
    assert not np.array_equal(centroids_of(gaussian), centroids_of(clusters))


@pytest.mark.parametrize("seed", range(2))
def test_gaussian_kernel_agrees_with_the_loop(seed):
    points, cluster = blobs(seed)
    clusters = mean_shift(points, bandwidth=0.8, seeds=50)
    expected = loop(points, points[::15], 0.8)
    assert len(expected) == int(clusters.valid.sum()) == 6
    order = [np.argmin(((c - expected) ** 2).sum(axis=1)) for c in centroids_of(clusters)]
    np.testing.assert_allclose(centroids_of(clusters), expected[order], atol=0.8 * 0.01)
    assert same_partition(clusters.labels, cluster)


def modes(points, bandwidth, kernel="gaussian"):
    clusters = mean_shift(jnp.asarray(points)[:, None], bandwidth=bandwidth, kernel=kernel, tol=1e-5, max_iter=10_000)
    return int(clusters.valid.sum())


def test_the_bandwidth_is_a_length():
    """Two equal Gaussians have one mode where their distance is at most 2h, and two beyond."""
    assert modes([0.0, 1.9], 1) == 1
    assert modes([0.0, 2.2], 1) == 2
    assert modes([0.0, 1.9], np.sqrt(1 / 2)) == 2  # control: with exp(-r^2 / h^2) the limit would be sqrt(2) h
    assert modes([0.0, 1.0], 1, "flat") == 1
    assert modes([0.0, 1.0], 0.99, "flat") == 2


def test_every_label_is_the_nearest_centroid_also_where_they_are_many():
    """More centroids than are compared at a time, and pixels that fill no chunk."""
    rng = np.random.default_rng(0)
    points = rng.permutation(np.repeat(np.moveaxis(np.mgrid[0:12, 0:12], 0, -1).reshape(-1, 2) * 5.0, 9, axis=0))
    points += 0.1 * rng.normal(size=points.shape)
    clusters = mean_shift(points.reshape(36, 36, 2), bandwidth=1, seeds=points[:700])
    centroids = centroids_of(clusters)
    assert len(centroids) > _climb.BLOCK
    assert clusters.labels.shape == (36, 36)
    assert clusters.labels.dtype == jnp.int32
    nearest = ((points[:, None] - centroids) ** 2).sum(axis=-1).argmin(axis=1)
    np.testing.assert_array_equal(clusters.labels.reshape(-1), nearest + 1)
    np.testing.assert_array_equal(clusters.centroids[len(centroids) :], 0)


@pytest.mark.parametrize("kernel", _climb.KERNELS)
def test_lanes_and_chunks_change_nothing(kernel, monkeypatch):
    points, _ = blobs(5)
    run = partial(mean_shift, points, bandwidth=1.0, seeds=50, kernel=kernel)
    whole = run()
    monkeypatch.setattr(_mean_shift, "SIZES", (_climb.Sizes(3, 7),) * 2)
    chunked = run()
    assert same_partition(whole.labels, chunked.labels)
    one, other = (c[np.lexsort(c.round(1).T)] for c in (centroids_of(whole), centroids_of(chunked)))
    np.testing.assert_allclose(one, other, atol=1e-4 if kernel == "flat" else 0.01)


def test_pixels_outside_the_mask_count_nowhere():
    points, cluster = blobs(1)
    mask = cluster < 4
    clusters = mean_shift(points, bandwidth=0.8, seeds=50, mask=mask)
    alone = loop(points[mask], points[mask][::10], 0.8)
    order = [np.argmin(((c - alone) ** 2).sum(axis=1)) for c in centroids_of(clusters)]
    np.testing.assert_allclose(centroids_of(clusters), alone[order], atol=0.8 * 0.01)
    assert np.all((np.asarray(clusters.labels) == 0) == ~mask)
    assert same_partition(clusters.labels[mask], cluster[mask])
    everything = mean_shift(points, bandwidth=0.8, seeds=50)  # control
    assert everything.valid.sum() > clusters.valid.sum() == 4


@pytest.mark.parametrize("seeds", [50, np.zeros((40, 2))], ids=["number", "positions"])
def test_an_empty_mask_has_no_centroid(seeds):
    clusters = mean_shift(blobs(0)[0], bandwidth=1.0, seeds=seeds, kernel="flat", mask=np.zeros(600, bool))
    assert not clusters.valid.any()
    assert (clusters.labels == 0).all()
    assert clusters.converged
    assert jnp.isfinite(clusters.centroids).all()


def test_seeds_without_a_pixel_in_reach_find_nothing():
    points, _ = blobs(0)
    starts = np.full((40, 2), 500.0)
    assert mean_shift(points, bandwidth=1.0, kernel="flat", seeds=starts).valid.sum() == 0
    starts[7] = points[0]
    assert mean_shift(points, bandwidth=1.0, kernel="flat", seeds=starts).valid.sum() == 1


def test_exhausted_steps_and_missing_room_are_reported():
    points, _ = blobs(0)
    assert mean_shift(points, bandwidth=0.8, seeds=50).converged
    assert not mean_shift(points, bandwidth=0.8, seeds=50, max_iter=1).converged
    full = mean_shift(points, bandwidth=0.8, seeds=50, max_centroids=5)
    assert not full.converged
    assert full.centroids.shape == (5, 2)
    assert full.valid.all()
    assert full.labels.max() == 5


@partial(jax.jit, static_argnames="seeds")
def spread(pixels, inside, key, seeds):
    return _climb.spread(_climb.gather(pixels, inside, 1024, 1.0), key, seeds)


def test_seeds_are_spread_over_the_image():
    """One seed for each stretch of pixels, all different, and not in the same few columns."""
    side = 64
    positions = np.moveaxis(np.mgrid[0:side, 0:side], 0, -1).reshape(-1, 2).astype(np.float32)
    for key in (None, jax.random.key(0)):
        drawn, total = spread(positions, np.ones(side**2, bool), key, seeds=side)
        assert total == side
        np.testing.assert_array_equal(drawn[:, 0], np.arange(side))  # one a row
        assert len(set(drawn[:, 1].tolist())) > 20
    assert len(set(positions[::side, 1].tolist())) == 1  # control: equal steps hit one column
    few, total = spread(positions, positions[:, 0] < 1, None, seeds=100)
    assert total == side
    np.testing.assert_array_equal(few[:side], positions[:side])


def test_keys_choose_the_seeds():
    points, _ = blobs(0, width=1.5)
    run = partial(mean_shift, points, bandwidth=0.5, seeds=50, kernel="flat")
    one, again, other = (centroids_of(run(key=jax.random.key(k))) for k in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("kernel", _climb.KERNELS)
@pytest.mark.parametrize("shift", [0.0, 2.0**12])
def test_far_clusters_and_a_common_offset_do_no_harm(kernel, shift):
    """Clusters thousands of bandwidths apart: products would round the distance within one to nothing."""
    points, cluster = blobs(2, spread=4096.0)
    clusters = mean_shift(points + shift, bandwidth=1.5, seeds=50, kernel=kernel)
    assert same_partition(clusters.labels, cluster)
    centres = np.array([points[cluster == k].mean(axis=0) + shift for k in range(6)])
    distance = np.abs(centroids_of(clusters)[:, None] - centres).max(axis=-1).min(axis=1)
    np.testing.assert_allclose(distance, 0, atol=0.05)


def test_seeds_that_rounding_moves_off_their_pixels_are_reported():
    """Numbers of float32 lie many bandwidths apart there; the mean of equal pixels, rounded, is none of them."""
    two = np.repeat(np.array([0, 5], np.float32), 30)[:, None]
    for points, bandwidth in ((two + 1, 1e-18), (1e20 * (two + 1), 1.0)):
        assert not mean_shift(points, bandwidth=bandwidth).converged
    control = mean_shift(two, bandwidth=1e-3)
    assert control.converged
    assert control.valid.sum() == 2


def test_one_far_pixel_costs_the_others_no_precision():
    points = np.append(np.repeat(np.array([0, 5], np.float32), 30), np.array(1e11, np.float32))[:, None]
    clusters = mean_shift(points, bandwidth=0.5)
    assert clusters.converged
    assert same_partition(clusters.labels, np.unique(points, return_inverse=True)[1].ravel())
    from_mean = points - points.mean()
    assert (from_mean[:-1] == from_mean[0]).all()  # control: counted from there, the two are one
    codes = np.array([[0], [5], [1e11]], np.float32)
    assert nearest_codes(points, codes, bandwidth=0.5, room=61).tolist() == [0] * 30 + [1] * 30 + [2]


def test_float64_that_float32_would_move_is_refused():
    """At 1e9 numbers of float32 lie 64 apart: two objects would be one."""
    two = np.repeat([0.0, 5.0], 30)[:, None] + 1e9
    with pytest.raises(ValueError, match="`embedding`: expected values that float32 holds to a tenth of the bandwidth"):
        mean_shift(two, bandwidth=0.5)
    assert mean_shift(two.astype(np.float32), bandwidth=0.5).valid.sum() == 1  # control: what would be found
    assert mean_shift(two - 1e9, bandwidth=0.5).valid.sum() == 2


def test_products_are_refused_where_they_round_too_much():
    near = jnp.array([[5000.0, 1.0], [5000.0, 2.0]])
    assert _climb.squared_distances(near[:1], near[1:], jnp.asarray(True)) == 1
    assert abs(_climb.squared_distances(near[:1], near[1:], jnp.asarray(False)) - 1) > 0.5  # control
    inside = jnp.ones(2, bool)
    assert _climb.gather(near, inside, 2, 1e-2).exact
    assert not _climb.gather(near / 1000, inside, 2, 1e-2).exact


def test_the_same_under_jit_and_in_half_precision():
    points, cluster = blobs(0)
    points = points.astype(np.float16)
    clusters = mean_shift(points, bandwidth=0.8, seeds=50)
    compiled = jax.jit(partial(mean_shift, bandwidth=0.8, seeds=50))
    traced = compiled(points)
    assert clusters.centroids.dtype == jnp.float32
    assert same_partition(clusters.labels, cluster)
    np.testing.assert_allclose(traced.centroids, clusters.centroids, atol=1e-3)
    np.testing.assert_array_equal(traced.labels, clusters.labels)
    points[3] = np.nan
    broken = compiled(points)
    assert not broken.converged
    assert not broken.valid.any()


def extra_memory(sizes):
    """Bytes that 1024 x 1024 pixels of 8 channels with 1000 seeds need beside their arguments."""
    pixels = jax.ShapeDtypeStruct((1 << 20, 8), jnp.float32)
    inside = jax.ShapeDtypeStruct((1 << 20,), bool)
    options = {"kernel": "gaussian", "seeds": 1000, "most": 1000, "sizes": (sizes, sizes)}
    lowered = _mean_shift._mean_shift.lower(pixels, inside, None, None, 1.0, 300, 1e-3, **options)
    memory = lowered.compile().memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes + memory.output_size_in_bytes


def test_a_large_image_needs_less_than_a_gibibyte():
    assert extra_memory(_climb.CPU) < 1 << 28
    assert extra_memory(_climb.Sizes(1000, 1 << 20)) > 1 << 30  # control: all seeds and pixels at once


GOOD = np.zeros((4, 2), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (
            {"embedding": np.full((4, 2), np.nan, np.float32)},
            ValueError,
            "`embedding`: expected finite values, found 8",
        ),
        ({"embedding": np.zeros(4, np.float32)}, ValueError, r"`embedding`: expected a shape \(\*anything, channel\)"),
        ({"embedding": np.zeros((0, 2), np.float32)}, ValueError, "without empty axes"),
        ({"embedding": np.zeros((4, 2), np.int32)}, TypeError, "`embedding`: expected floating point"),
        ({"bandwidth": 0}, ValueError, "`bandwidth`: expected a finite number > 0"),
        ({"bandwidth": float("inf")}, ValueError, "`bandwidth`"),
        ({"kernel": "box"}, ValueError, "`kernel`: expected one of 'gaussian', 'flat', found 'box'"),
        ({"seeds": 0}, ValueError, "`seeds`: expected an integer >= 1"),
        ({"seeds": np.zeros((3, 5))}, ValueError, r"`seeds`: .* shape \(seed, 2\), found shape \(3, 5\)"),
        ({"seeds": np.full((1, 2), np.inf)}, ValueError, "`seeds`: expected finite values"),
        ({"mask": np.ones(5, bool)}, ValueError, r"`mask`: expected the shape \(4,\)"),
        ({"mask": np.ones(4, np.int32)}, TypeError, "`mask`: expected booleans, found int32"),
        ({"max_centroids": 0}, ValueError, "`max_centroids`"),
        ({"max_iter": 0}, ValueError, "`max_iter`"),
        ({"tol": -1.0}, ValueError, "`tol`"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change, error, sentence):
    with pytest.raises(error, match=sentence):
        mean_shift(**({"embedding": GOOD, "bandwidth": 1.0} | change))
