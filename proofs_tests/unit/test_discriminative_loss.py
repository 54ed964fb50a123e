"""The discriminative loss against a plain loop over instances, and at the points where a naive one breaks."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftjax._losses import BACKGROUNDS, discriminative_loss

SHAPES = ((1, 1, 2), (2, 2, 4, 2))
MOST = 5


def reference(embedding, labels, *, delta_var, delta_dist, alpha, beta, gamma, background):
    """Loss, pull, push, regulariser and number of instances, a loop for every sum of the paper."""
    parts = np.zeros(3)
    instances = 0
    for image, ids in zip(embedding, labels, strict=True):
        pushed = [k for k in np.unique(ids) if k > 0 or background != "ignore"]
        pulled = [k for k in pushed if k > 0 or background == "instance"]
        mean = {k: image[ids == k].mean(axis=0) for k in pushed}
        pull = push = regulariser = 0.0
        for k in pulled:
            distance = [np.linalg.norm(x - mean[k]) for x in image[ids == k]]
            pull += sum(max(d - delta_var, 0) ** 2 for d in distance) / len(distance) / len(pulled)
            regulariser += float(np.linalg.norm(mean[k])) / len(pulled)
        for i in pushed:
            for j in pushed:
                if i != j:
                    shortfall = max(2 * delta_dist - np.linalg.norm(mean[i] - mean[j]), 0) ** 2
                    push += shortfall / (len(pushed) * (len(pushed) - 1))
        parts += np.array([pull, push, regulariser]) / len(embedding)
        instances += len(pulled)
    return (np.dot([alpha, beta, gamma], parts), *parts, instances)


def differences(f, x, step=1e-6):
    """Central differences of a scalar function."""
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += step
        down[i] -= step
        gradient[i] = (f(up) - f(down)) / (2 * step)
    return gradient


@st.composite
def cases(draw):
    """An embedding in general position, labels with gaps and absent instances, and weights."""
    shape = draw(st.sampled_from(SHAPES))
    spread = draw(st.sampled_from((0.1, 1.0, 3.0)))
    embedding = np.random.default_rng(draw(st.integers(0, 999))).normal(scale=spread, size=shape)
    size = int(np.prod(shape[:-1]))
    labels = np.array(draw(st.lists(st.integers(0, MOST - 1), min_size=size, max_size=size))).reshape(shape[:-1])
    weight = st.sampled_from((0.0, 0.3, 1.0, 2.0))
    options = {name: draw(weight) for name in ("delta_var", "delta_dist", "alpha", "beta", "gamma")}
    return embedding, labels, options | {"background": draw(st.sampled_from(BACKGROUNDS))}


@given(cases())
@settings(max_examples=50, deadline=None)
def test_value_parts_and_gradient_are_those_of_the_loop(case):
    embedding, labels, options = case
    with jax.enable_x64(True):
        loss = partial(discriminative_loss, labels=labels, max_instances=MOST, **options)
        (value, parts), gradient = jax.value_and_grad(loss, has_aux=True)(jnp.asarray(embedding))
        terms = (value, parts.pull, parts.push, parts.regulariser, parts.instances)
    np.testing.assert_allclose(terms, reference(embedding, labels, **options), rtol=1e-9, atol=1e-12)
    expected = differences(lambda x: reference(x, labels, **options)[0], embedding)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
    assert not parts.overflow


def draw_image(shape, most=MOST, seed=0):
    """A float32 embedding and its labels."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype(np.float32), rng.integers(0, most, shape[:-1]).astype(np.int32)


def test_jit_vmap_and_the_bound_change_nothing():
    embedding, labels = draw_image((3, 8, 8, 4))
    loss = partial(discriminative_loss, max_instances=MOST, background="push")
    value, _ = loss(embedding, labels)
    assert jax.jit(loss)(embedding, labels)[0] == value
    each, _ = jax.vmap(lambda x, ids: loss(x[None], ids[None]))(embedding, labels)
    np.testing.assert_allclose(jnp.mean(each), value, rtol=1e-6)
    larger, _ = discriminative_loss(embedding, labels, max_instances=100, background="push")
    np.testing.assert_allclose(larger, value, rtol=1e-6)


def naive_push(means, delta_dist):
    """The customary push term: norms, then zero for the pairs i = j."""
    distance = jnp.linalg.norm(means[:, None] - means[None], axis=-1)
    pairs = ~jnp.eye(len(means), dtype=bool)
    return jnp.sum(jnp.where(pairs, jnp.maximum(2 * delta_dist - distance, 0) ** 2, 0)) / jnp.sum(pairs)


def push_of(points, **options):
    """The push term of a 1-D image whose pixels are instances of their own, hence their own means."""
    labels = jnp.arange(len(points))[None]
    _, parts = discriminative_loss(points[None], labels, max_instances=len(points), **options)
    return parts.push


PUSH = jax.jit(jax.value_and_grad(push_of))
COLLAPSED = np.full((4, 2), 0.75, np.float32)


def test_coinciding_means_count_fully_and_are_pushed_apart():
    push, gradient = PUSH(COLLAPSED)
    assert push == 3.0**2
    rank = np.arange(4)
    pairs = 2 * 3.0 * np.sign(rank[None] - rank[:, None]) * 2 / (4 * 3)  # both orders of a pair count
    np.testing.assert_allclose(gradient[:, 0], -pairs.sum(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(gradient[:, 1], 0)
    assert PUSH(COLLAPSED - 0.1 * gradient)[0] < push
    assert jnp.isnan(jax.grad(naive_push)(COLLAPSED, 1.5)).any()  # control


def test_the_gradient_of_coinciding_means_is_a_limit_of_gradients():
    """Along means that meet in the order of their labels, all gradients tend to the one chosen."""
    apart, unlike = COLLAPSED.copy(), COLLAPSED.copy()
    apart[:, 0] -= 2.0**-20 * np.arange(4)
    unlike[:, 0] += 2.0**-20 * np.arange(4)
    chosen, limit, control = (PUSH(points)[1] for points in (COLLAPSED, apart, unlike))
    np.testing.assert_allclose(chosen, limit, atol=1e-5)
    assert jnp.max(jnp.abs(chosen - control)) > 1


def test_descent_leaves_a_collapse():
    """Every mean at one point: the customary gradient of zero would stay there forever."""
    points = COLLAPSED
    for _ in range(60):
        points = points - 0.5 * PUSH(points)[1]
    assert PUSH(points)[0] < 1e-2

    def blind(points):
        square = jnp.sum((points[:, None] - points[None]) ** 2, axis=-1)
        distance = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
        return jnp.sum(jnp.maximum(3 - distance, 0) ** 2)

    np.testing.assert_array_equal(jax.grad(blind)(COLLAPSED), 0)  # control


def graded(**options):
    """Loss, parts and gradient, in one compilation."""
    return jax.jit(jax.value_and_grad(partial(discriminative_loss, **options), has_aux=True))


AT_THE_MEAN = {b: graded(max_instances=4, delta_var=0.0, background=b) for b in BACKGROUNDS}


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize(
    ("embedding", "labels"),
    [
        pytest.param(0, [[0, 0, 0, 0]], id="empty image, mean at the origin"),
        pytest.param(0, [[0, 1, 2, 2]], id="all means coincide at the origin"),
        pytest.param(1, [[3, 3, 3, 3]], id="one instance, all pixels at its mean"),
        pytest.param(1, [[0, 0, 0, 1]], id="an instance of one pixel"),
        pytest.param(1e-30, [[0, 1, 1, 1]], id="squares that underflow"),
        pytest.param(1, [[0, 0, 0, 0], [0, 1, 2, 2]], id="one empty image of two"),
    ],
)
def test_gradients_are_finite_where_roots_are_not(embedding, labels, background):
    labels = jnp.array(labels)
    embedding = jnp.full((*labels.shape, 2), embedding, jnp.float32)
    (value, parts), gradient = AT_THE_MEAN[background](embedding, labels)
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()
    if background == "ignore" and not labels.any():
        assert value == 0
        assert parts.instances == 0
        np.testing.assert_array_equal(gradient, 0)


def test_backgrounds_differ():
    """The three meanings of label 0 are three losses, so a test of one is not a test of all."""
    embedding, _ = draw_image((1, 4, 2))
    values = [loss(embedding, np.array([[0, 0, 1, 2]], np.int32))[0][0] for loss in AT_THE_MEAN.values()]
    assert len({float(v) for v in values}) == 3


def test_half_precision_is_summed_in_float32():
    labels = np.zeros((1, 4096), np.int32)
    ones = jnp.ones((1, 4096, 1), jnp.bfloat16)
    (value, _), gradient = graded(max_instances=1, alpha=0, beta=0, gamma=1)(ones, labels)
    assert value.dtype == jnp.float32
    assert value == 1
    assert gradient.dtype == jnp.bfloat16
    assert jax.ops.segment_sum(ones[0], labels[0], 1)[0, 0] < 4096  # control: sums in bfloat16 stall at 256


def test_means_of_many_pixels_keep_their_precision():
    """A constant embedding has no pull, however many pixels are added up."""
    pixels = jnp.full((1, 1 << 18, 1), 0.1)
    ids = jnp.zeros((1, 1 << 18), int)
    _, parts = discriminative_loss(pixels, ids, max_instances=2, delta_var=0)
    assert parts.pull < 1e-10
    plain = jax.ops.segment_sum(pixels[0], ids[0], 2)[0, 0] / (1 << 18)
    assert (plain - 0.1) ** 2 > 1e-8  # control: one pixel after the other


def largest_and_count(jaxpr):
    """Elements of the largest intermediate, and the number of equations, with all inner ones."""
    largest, count = 0, 0
    for eqn in jaxpr.eqns:
        inner = [p for v in eqn.params.values() for p in (v if isinstance(v, tuple | list) else [v])]
        inner = [getattr(p, "jaxpr", p) for p in inner]
        below = [largest_and_count(p) for p in inner if hasattr(p, "eqns")]
        largest = max([largest, *(a for a, _ in below), *(v.aval.size for v in eqn.outvars)])
        count += 1 + sum(n for _, n in below)
    return largest, count


def test_no_loop_over_instances_and_no_pixels_times_instances():
    embedding, labels = draw_image((1, 100, 100, 2))
    bound = 50 * 100 * 100  # a quarter of pixels times instances

    def size(instances):
        loss = partial(discriminative_loss, max_instances=instances)
        return largest_and_count(jax.make_jaxpr(jax.grad(lambda x, ids: loss(x, ids)[0]))(embedding, labels).jaxpr)

    few, many = size(190), size(200)
    assert few[1] == many[1]
    assert max(few[0], many[0]) < bound
    one_hot = jax.make_jaxpr(lambda x, ids: jax.nn.one_hot(ids.ravel(), 200).T @ x[0].reshape(-1, 2))(embedding, labels)
    assert largest_and_count(one_hot.jaxpr)[0] > bound  # control


TRACED = graded(max_instances=MOST)


@pytest.mark.parametrize("wrong", [-1, MOST, 70000])
def test_overflow_is_nan_under_jit_and_refused_outside(wrong):
    embedding, labels = draw_image((2, 6, 3))
    labels[1, 2] = wrong
    with pytest.raises(ValueError, match=r"labels from .*relabel"):
        discriminative_loss(embedding, labels, max_instances=MOST)
    (value, parts), gradient = TRACED(embedding, labels)
    assert parts.overflow
    assert jnp.isnan(value)
    assert jnp.isnan(gradient).any()
    (value, parts), gradient = TRACED(embedding, np.clip(labels, 0, MOST - 1))  # control
    assert not parts.overflow
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()


def test_narrow_labels_are_compared_at_full_width():
    """300 is 44 in eight bits, and would call label 200 too large."""
    embedding, labels = draw_image((1, 20, 2), most=256)
    value, parts = jax.jit(partial(discriminative_loss, max_instances=300))(embedding, labels.astype(np.uint8))
    assert labels.max() >= 300 % 256
    assert not parts.overflow
    assert jnp.isfinite(value)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"embedding": np.zeros((4, 2), np.float32)}, ValueError, r"`embedding`: expected a shape \(batch"),
        ({"embedding": np.zeros((1, 4, 0), np.float32)}, ValueError, "without empty axes"),
        ({"embedding": np.zeros((1, 4, 2), np.int32)}, TypeError, "`embedding`: expected floating point"),
        ({"labels": np.zeros((1, 5), np.int32)}, ValueError, r"`labels`: expected the shape \(1, 4\)"),
        ({"labels": np.zeros((1, 4), np.float32)}, TypeError, "`labels`: expected integers, found float32"),
        ({"labels": np.zeros((1, 4), bool)}, TypeError, "`labels`: expected integers, found bool"),
        ({"max_instances": 0}, ValueError, "`max_instances`: expected an integer >= 1, found 0"),
        ({"background": "ignored"}, ValueError, "'instance', 'ignore', 'push', found 'ignored'"),
        ({"delta_dist": -1.0}, ValueError, "`delta_dist`: expected a finite number >= 0"),
        ({"gamma": float("nan")}, ValueError, "`gamma`"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change, error, sentence):
    good: dict[str, Any] = {
        "embedding": np.zeros((1, 4, 2), np.float32),
        "labels": np.zeros((1, 4), np.int32),
        "max_instances": 2,
    }
    discriminative_loss(**good)
    with pytest.raises(error, match=sentence):
        discriminative_loss(**(good | change))


@pytest.mark.parametrize("background", ["instance", "ignore", "push"])
@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("instances", [1, 3])
def test_a_nan_in_the_embedding_is_a_nan_in_the_loss(background, channel, instances):
    labels = jnp.arange(16, dtype=jnp.int32).reshape(1, 4, 4) % instances + 1
    embedding = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 4, 3)), jnp.float32)
    loss = jax.jit(lambda e: discriminative_loss(e, labels, max_instances=5, background=background)[0])
    assert np.isfinite(loss(embedding))
    assert np.isnan(loss(embedding.at[0, 1, 2, channel].set(jnp.nan)))


@pytest.mark.parametrize("far", [1e6, 1e30, np.inf, np.nan])
@pytest.mark.parametrize(("label", "options"), [(-1, {"ignore_label": -1}), (0, {"background": "ignore"})])
def test_pixels_that_count_nowhere_may_be_embedded_anywhere(label, options, far):
    """Also the first one of the image: were distances taken about it, 1e6 would cost all digits of the others."""
    embedding, labels = draw_image((2, 6, 3))
    labels[:, 0] = label
    there = labels == label
    wild = np.where(there[..., None], np.float32(far), embedding)
    compared = graded(max_instances=MOST, **options)
    (value, parts), gradient = compared(wild, labels)
    (expected, _), slope = compared(embedding, labels)
    assert not parts.overflow
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(gradient, slope)
    assert not np.asarray(gradient)[there].any()
    counted = graded(max_instances=MOST)(wild, np.where(there, 0, labels))[0][0]  # control: an instance like any other
    assert not np.isclose(counted, expected)


@pytest.mark.parametrize(
    ("dtype", "ignored"),
    [(np.uint8, 255), (np.uint32, 2**32 - 1), (np.int64, 2**32 + 1), (np.uint64, 2**64 - 1), (np.int64, -(2**63))],
)
def test_a_label_of_any_width_may_be_ignored(dtype, ignored):
    """Of 2^32 + 1 JAX keeps 32 bits, which are those of label 1."""
    embedding, labels = draw_image((1, 20, 3))
    empty = np.arange(20)[None] % 3 == 0
    loss = partial(discriminative_loss, embedding, max_instances=MOST)
    expected = loss(np.where(empty, -1, labels), ignore_label=-1)
    given_labels = np.where(empty, dtype(ignored), labels.astype(dtype))
    np.testing.assert_array_equal(loss(given_labels, ignore_label=ignored)[0], expected[0])
    cut = given_labels.astype(np.int32)
    assert (cut[empty] == 1).all() == (ignored == 2**32 + 1)
    assert not np.isclose(loss(np.where(empty, 1, labels))[0], expected[0])  # control
    with pytest.raises(ValueError, match="labels from"):  # control: it is no instance
        loss(given_labels)


def test_under_jit_the_ignored_label_is_compared_in_the_type_of_the_labels():
    embedding, labels = draw_image((1, 20, 3))
    labels = jnp.where(jnp.arange(20) % 3 == 0, jnp.uint32(2**32 - 1), jnp.asarray(labels, jnp.uint32))

    def overflow(ignored):
        loss = partial(discriminative_loss, max_instances=MOST, ignore_label=ignored)
        return jax.jit(loss)(embedding, labels)[1].overflow

    assert not overflow(2**32 - 1)
    assert overflow(-1)  # the same 32 bits, and another number
    assert overflow(2**40)
