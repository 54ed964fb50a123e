"""Sums over segments, and rows of a table, which are each other's transpose, in the forms of all platforms."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shiftjax._losses import _segments
from shiftjax._losses._segments import rows_of, segment_sum

PIXELS, COUNT = 9000, 7
RNG = np.random.default_rng(0)
IDS = jnp.asarray(RNG.integers(0, COUNT, PIXELS))
VALUES = jnp.asarray(RNG.integers(0, 100, (PIXELS, 3)), jnp.float32)  # whole numbers, which floats add exactly
EXPECTED = np.stack([np.asarray(VALUES)[np.asarray(IDS) == k].sum(0) for k in range(COUNT)])


@pytest.fixture(params=["cpu", "elsewhere"])
def form(request, monkeypatch):
    """The form of a CPU, or of other platforms, run here."""
    if request.param == "elsewhere":
        monkeypatch.setattr(_segments, "cpu_form", lambda form, plain, *arrays: plain(*arrays))


def test_sums_and_rows_are_each_others_gradient(form):
    np.testing.assert_array_equal(segment_sum(VALUES, IDS, COUNT), EXPECTED)
    np.testing.assert_array_equal(segment_sum(VALUES[:, 0], IDS, COUNT), EXPECTED[:, 0])
    table = jnp.asarray(EXPECTED)
    np.testing.assert_array_equal(rows_of(table, IDS), EXPECTED[np.asarray(IDS)])
    through_sum = jax.grad(lambda v: jnp.sum(segment_sum(v, IDS, COUNT) * table))(VALUES)
    np.testing.assert_array_equal(through_sum, rows_of(table, IDS))
    through_rows = jax.grad(lambda t: jnp.sum(rows_of(t, IDS) * VALUES))(table)
    np.testing.assert_array_equal(through_rows, EXPECTED)


def test_images_side_by_side_do_not_meet(form):
    both = jax.vmap(lambda v, i: segment_sum(v, i, COUNT))(jnp.stack([VALUES, 2 * VALUES]), jnp.stack([IDS, IDS]))
    np.testing.assert_array_equal(both, np.stack([EXPECTED, 2 * EXPECTED]))


def test_control_a_gradient_that_is_not_the_transpose_shows(monkeypatch):
    monkeypatch.setattr(_segments, "rows_of", lambda table, ids: table[ids[::-1]])
    table = jnp.asarray(EXPECTED)
    wrong = jax.grad(lambda v: jnp.sum(segment_sum(v, IDS, COUNT) * table))(VALUES)
    assert not np.array_equal(wrong, table[IDS])


def test_no_table_of_sums_is_made_for_every_block():
    """So that a generous bound on the instances costs nothing."""
    program = jax.jit(lambda v, i: segment_sum(v, i, 8000)).lower(VALUES, IDS).compile()
    analysis: Any = program.memory_analysis()
    assert analysis.temp_size_in_bytes < 3 * 8000 * 3 * 4
