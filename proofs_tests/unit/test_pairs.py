"""The sum over pairs of means, block by block, against the one over all pairs; in the forms of all platforms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shiftjax._losses import _pairs
from shiftjax._losses._pairs import pairs_shortfall

COUNT, REACH = 700, 1.5  # more than one block of rows and of columns, in both forms
RNG = np.random.default_rng(0)
MEANS = jnp.asarray(RNG.normal(size=(COUNT, 3)), jnp.float32)
PRESENT = jnp.asarray(RNG.random(COUNT) < 0.9)


@pytest.fixture(params=["cpu", "elsewhere"], autouse=True)
def form(request, monkeypatch):
    """The form of a CPU, or of other platforms, run here."""
    if request.param == "elsewhere":
        monkeypatch.setattr(_pairs, "cpu_form", lambda form, plain, *arrays: plain(*arrays))


def all_pairs(means, present, reach):
    difference = means[:, None] - means
    pairs = present[:, None] & present & ~np.eye(len(means), dtype=bool)
    distance = jnp.sqrt(jnp.where(pairs, jnp.sum(difference**2, -1), 1))
    return jnp.sum(jnp.where(pairs, jnp.maximum(reach - distance, 0) ** 2, 0))


def test_blocks_add_up_to_all_pairs():
    value, gradients = jax.value_and_grad(pairs_shortfall, (0, 2))(MEANS, PRESENT, REACH)
    expected, by_all = jax.value_and_grad(all_pairs, (0, 2))(MEANS, PRESENT, REACH)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for one, other in zip(gradients, by_all, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())


def test_absent_means_change_nothing_whatever_they_are():
    """As many as there may be, and not numbers."""
    run = jax.jit(jax.value_and_grad(pairs_shortfall), static_argnums=2)
    few, more = jnp.ones(50, bool), jnp.zeros(5000, bool).at[100:150].set(True)
    spread = jnp.full((5000, 3), jnp.nan).at[100:150].set(MEANS[:50])
    (one, gradient), (other, scattered) = run(MEANS[:50], few, REACH), run(spread, more, REACH)
    np.testing.assert_allclose(one, other, rtol=1e-6)
    np.testing.assert_allclose(gradient, scattered[100:150], rtol=1e-5, atol=1e-5)
    assert not scattered[:100].any()
    assert not scattered[150:].any()


@pytest.mark.parametrize("present", [0, 1])
def test_without_a_pair_nothing_lacks(present):
    value, gradient = jax.value_and_grad(pairs_shortfall)(MEANS, jnp.arange(COUNT) < present, REACH)
    assert value == 0
    assert not gradient.any()


def test_images_side_by_side_have_loops_of_their_own_lengths():
    present = jnp.stack([jnp.arange(COUNT) < n for n in (3, 600)])
    both = jax.vmap(lambda p: pairs_shortfall(MEANS, p, REACH))(present)
    np.testing.assert_allclose(both, [all_pairs(MEANS, p, REACH) for p in present], rtol=1e-5)


def test_control_a_block_left_out_shows(monkeypatch):
    true = _pairs._over_blocks
    monkeypatch.setattr(_pairs, "_over_blocks", lambda add, n, start, sizes: true(add, n - sizes.rows, start, sizes))
    assert abs(pairs_shortfall(MEANS, PRESENT, REACH) / all_pairs(MEANS, PRESENT, REACH) - 1) > 1e-3
