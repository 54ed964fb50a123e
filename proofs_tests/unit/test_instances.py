"""From an embedding to instances: 0 is background wherever labels are passed on."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shiftjax as sj


def scene(pitch: int = 12, size: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """A perfect embedding, in which every other object has the same code, and its labels."""
    _, labels = sj.synthetic.disc_lattice((size, size), pitch=pitch, radius=4)
    true = np.asarray(labels)
    code = np.where(true > 0, 1 + true % 2, 0)
    noise = np.random.default_rng(0).normal(scale=0.01, size=(*code.shape, 2))
    return (np.stack([code == 1, code == 2], -1) * 3.0 + noise).astype(np.float32), true


def test_a_perfect_embedding_scores_1_whatever_is_chained() -> None:
    """By one call, and step by step: no cluster is lost as background, the densest one included."""
    embedding, true = scene()
    at_once = sj.instances(embedding, bandwidth=0.5, foreground=true > 0, min_size=5)
    by_steps = sj.connected_components(np.asarray(sj.mean_shift(embedding, bandwidth=0.5, mask=true > 0).labels))
    for found in (at_once, by_steps):
        assert float(sj.average_precision(true, found)) == 1
    assert at_once.dtype == np.int32
    np.testing.assert_array_equal(np.unique(at_once), np.arange(true.max() + 1))


def test_control_clusters_numbered_from_0_lose_the_densest_one() -> None:
    embedding, true = scene()
    codes = np.asarray(sj.mean_shift(embedding, bandwidth=0.5, mask=true > 0).labels)
    assert float(sj.average_precision(true, sj.connected_components(np.maximum(codes - 1, 0)))) < 1


def test_every_image_is_clustered_by_itself() -> None:
    """An offset of one image does not join its clusters with another's."""
    embedding, true = scene()
    both = np.concatenate([embedding, embedding + 3])
    found = sj.instances(both, bandwidth=0.5, foreground=np.concatenate([true > 0] * 2))
    np.testing.assert_array_equal(found[0], found[1])


def test_small_objects_and_an_empty_foreground() -> None:
    embedding, true = scene()
    none = np.zeros(true.shape, bool)
    assert not sj.instances(embedding, bandwidth=0.5, foreground=none).any()
    area = int((true == 1).sum())
    assert sj.instances(embedding, bandwidth=0.5, foreground=true > 0, min_size=area).max() > 0
    assert not sj.instances(embedding, bandwidth=0.5, foreground=true > 0, min_size=10 * area).any()


@pytest.mark.parametrize(
    ("embedding", "options", "words"),
    [
        (np.zeros((4, 2), np.float32), {}, "batch, \\*space, channel"),
        (np.zeros((1, 4, 2), np.float32), {"foreground": np.ones((1, 5), bool)}, "`foreground`"),
        (np.zeros((1, 4, 2), np.float32), {"min_size": -1}, "`min_size`"),
        (np.full((1, 4, 2), np.nan, np.float32), {}, "finite"),
    ],
)
def test_bad_input_is_answered_in_a_sentence(embedding: np.ndarray, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sj.instances(embedding, bandwidth=0.5, **options)


def test_a_bandwidth_at_which_pixels_are_in_no_cluster_is_refused() -> None:
    """They would be background, though the foreground says that they are not."""
    embedding = np.repeat(np.array([1, 6], np.float32), 30)[None, :, None]
    with pytest.raises(ValueError, match="`bandwidth`: expected a length that float32 can tell beside the embedding"):
        sj.instances(embedding, bandwidth=1e-18)
    np.testing.assert_array_equal(sj.instances(embedding, bandwidth=1e-3)[0], np.repeat([1, 2], 30))  # control


def test_a_foreground_of_probabilities_is_refused() -> None:
    with pytest.raises(TypeError, match=r"> 0\.5"):
        sj.instances(np.zeros((1, 4, 2), np.float32), bandwidth=0.5, foreground=np.ones((1, 4), np.float32))


def gradients(embedding: jax.Array, labels: jax.Array) -> np.ndarray:
    loss = lambda x: sj.discriminative_loss(x, labels, max_instances=3, gamma=0.0)[0]  # noqa: E731
    return np.asarray(jax.grad(loss)(embedding))


def test_a_common_offset_costs_the_loss_no_precision() -> None:
    """Means a thousandth apart, at an offset of 100: the push is as good as without the offset."""
    labels = jnp.asarray([[0] * 50 + [1] * 50 + [2] * 50])
    rng = np.random.default_rng(0)
    near = np.round((np.asarray(labels)[..., None] * 1e-3 + rng.normal(scale=1e-4, size=(1, 150, 2))) * 2**17) / 2**17
    plain = gradients(jnp.asarray(near, jnp.float32), labels)  # multiples of 2^-17: exact at either place
    moved = gradients(jnp.asarray(near + 64, jnp.float32), labels)
    assert np.abs(moved - plain).max() <= 1e-5 * np.abs(plain).max()


def test_ignored_pixels_count_nowhere() -> None:
    """Whatever their label and their embedding; the loss is that of the others alone."""
    rng = np.random.default_rng(1)
    embedding = jnp.asarray(rng.normal(size=(2, 40, 3)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 4, (2, 40)))
    for ignored in (-1, 255, 3):
        marked = labels.at[:, 30:].set(ignored)
        if ignored == 3:
            marked = jnp.where(marked == 3, 255, marked).at[:, 30:].set(255)
            ignored = 255
        options: Any = {"max_instances": 4, "ignore_label": ignored}
        loss, parts = sj.discriminative_loss(embedding, marked, **options)
        other, _ = sj.discriminative_loss(embedding.at[:, 30:].set(99.0), marked, **options)
        alone, _ = sj.discriminative_loss(embedding[:, :30], marked[:, :30], **options)
        assert not bool(parts.overflow)
        np.testing.assert_allclose([loss, other], [alone, alone], rtol=1e-5)
    with pytest.raises(ValueError, match="max_instances"):  # control: without the option they are out of range
        sj.discriminative_loss(embedding, labels.at[:, 30:].set(255), max_instances=4)
