"""The number of distinct embeddings: exact where it must be, linked by tolerance where it may be."""

from __future__ import annotations

from fractions import Fraction

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from shiftjax.metrics import distinct_embeddings


@pytest.fixture
def own_errors():
    """Lets bad arguments reach the library's own checks, past the annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def means(embedding, labels):
    """Mean of every object as a tuple of exact fractions."""
    return [
        tuple(
            Fraction(int(c.sum())) / int((ids == i).sum()) for c in np.moveaxis(values[ids == i].astype(object), -1, 0)
        )
        for values, ids in zip(embedding, labels, strict=True)
        for i in np.unique(ids)
        if i > 0
    ]


def linked(points, tolerance):
    """Components by repeated merging of whole groups."""
    groups = [[p] for p in points]
    merged = True
    while merged:
        merged = False
        for i in range(len(groups)):
            for j in range(i):
                if any(np.linalg.norm(np.subtract(p, q)) <= tolerance for p in groups[i] for q in groups[j]):
                    groups[j] += groups.pop(i)
                    merged = True
                    break
            if merged:
                break
    return len(groups)


@pytest.mark.parametrize("seed", range(5))
def test_integers_are_compared_as_exact_fractions(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 30, (2, 9, 9), dtype=np.int32)
    embedding = rng.integers(-2, 3, (2, 9, 9, 1), dtype=np.int32)
    expected = len(set(means(embedding, labels)))
    assert 1 < expected < len(means(embedding, labels))
    assert distinct_embeddings(embedding, labels, tolerance=0) == expected


def test_integers_that_no_float64_mean_would_tell_apart():
    labels = np.repeat(np.array([[1, 2]], np.int32), [2**12, 2**12 + 1], axis=1)
    embedding = np.full((*labels.shape, 1), 2**31 - 1, np.int32)
    embedding[0, 0] -= 1
    embedding[0, -1] -= 1
    low, high = sorted(m[0] for m in means(embedding, labels))
    assert low != high
    assert float(low) == float(high)
    assert distinct_embeddings(embedding, labels, tolerance=0) == 2
    embedding[:] = 2**31 - 1
    assert distinct_embeddings(embedding, labels, tolerance=0) == 1


def test_sums_that_int64_does_not_hold_are_refused():
    """They would wrap around: four times 2^62 are 0, and two objects one."""
    labels = np.array([[[1] * 4, [2] * 4]])
    embedding = np.zeros((1, 2, 4, 1), np.int64)
    embedding[0, 0] = 2**61 - 1
    for tolerance in (0, 1):
        assert distinct_embeddings(embedding, labels, tolerance=tolerance) == 2  # control: they are held
        with pytest.raises(ValueError, match=r"expected integers whose sums .* int64 holds, found .* 2 to"):
            distinct_embeddings(2 * embedding + 2, labels, tolerance=tolerance)
        with pytest.raises(ValueError, match=r"`embedding`: expected integers from -2\^62 to 2\^62"):
            distinct_embeddings(np.full((1, 2, 4, 1), 2**63, np.uint64), labels, tolerance=tolerance)


@pytest.mark.parametrize("tolerance", [0.02, 0.1, 0.3, 1.0])
def test_floats_are_linked_within_the_tolerance(tolerance):
    rng = np.random.default_rng(3)
    labels = np.arange(1, 61, dtype=np.int32).reshape(1, 60)
    embedding = rng.random((1, 60, 2)).astype(np.float32)
    assert distinct_embeddings(embedding, labels, tolerance=tolerance) == linked(embedding[0].astype(float), tolerance)
    assert distinct_embeddings(embedding, labels, tolerance=0) == 60


def test_a_chain_is_one_and_its_ends_alone_are_two():
    labels = np.array([[1, 2, 3]], np.int32)
    embedding = np.array([[[0.0], [1.0], [2.0]]])
    assert distinct_embeddings(embedding, labels, tolerance=1) == 1
    assert distinct_embeddings(embedding, labels, tolerance=0.99) == 3
    labels[0, 1] = 0
    assert distinct_embeddings(embedding, labels, tolerance=1) == 2


def test_a_code_repeated_on_a_lattice_is_counted_once_and_a_collapsed_one_is_one():
    y, x = np.indices((12, 12))
    labels = np.zeros((1, 36, 36), np.int32)
    labels[0, ::3, ::3] = 1 + 12 * y + x
    code = np.stack([(labels - 1) // 12 % 4, (labels - 1) % 4], -1).astype(np.int32)
    assert distinct_embeddings(code, labels, tolerance=0) == 16
    assert distinct_embeddings(code.astype(jnp.bfloat16), labels, tolerance=0.5) == 16
    assert distinct_embeddings(jnp.asarray(code, jnp.float32), labels, tolerance=1) == 1
    assert distinct_embeddings(np.zeros_like(code), labels, tolerance=0) == 1


def test_no_object_is_no_embedding_and_zeros_have_one_sign():
    nothing = np.zeros((1, 4, 4), np.int32)
    assert distinct_embeddings(np.ones((1, 4, 4, 2)), nothing, tolerance=0) == 0
    assert distinct_embeddings(np.array([[[0.0], [-0.0]]]), np.array([[1, 2]]), tolerance=0) == 1


@pytest.mark.usefixtures("own_errors")
def test_bad_input_is_refused_in_words():
    labels, embedding = np.ones((1, 4, 4), np.int32), np.ones((1, 4, 4, 2))
    holed = embedding.copy()
    holed[0, 1, 1, 0] = np.nan
    for bad, words in (
        (embedding[..., 0], "batch, \\*space, channel"),
        (embedding[:, :3], "of `labels`"),
        (embedding > 0, "integers or floats"),
        (holed, "1 of 32 that are NaN"),
    ):
        with pytest.raises(ValueError, match=words):
            distinct_embeddings(bad, labels, tolerance=0)
    with pytest.raises(ValueError, match="`tolerance`"):
        distinct_embeddings(embedding, labels, tolerance=-1)
