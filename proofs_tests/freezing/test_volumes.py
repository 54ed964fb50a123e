"""Networks as the field has them, with norms over space, from volume to volume: equal to the whole in one piece."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr

import shiftjax as sj
from proofs_tests.freezing.norms import PlainUNet, SegResNet, StarDist, with_weights
from proofs_tests.volume.harm import Dead, killed
from shiftjax.freezing import _freeze
from shiftjax.volume import VolumeError
from shiftjax.volume._storage import journal

NETS: dict[str, Any] = {"nnU-Net": PlainUNet(), "SegResNet": SegResNet()}
SPACE = (12, 16, 20)


@pytest.fixture
def volume(tmp_path):
    """A volume on disk, and as an image."""
    pixels = np.random.default_rng(0).integers(0, 200, SPACE).astype(np.uint8)
    path = str(tmp_path / "in.zarr")
    zarr.create_array(path, data=pixels, chunks=(8, 8, 8))
    return path, jnp.asarray(pixels, jnp.float32)[None, ..., None]


@pytest.fixture(autouse=True)
def each_tile_is_journaled(monkeypatch):
    monkeypatch.setattr(journal, "SECONDS", 0.0)


@pytest.mark.parametrize("name", ["nnU-Net", pytest.param("SegResNet", marks=pytest.mark.deep)])
def test_from_volume_to_volume(name, volume, tmp_path, capsys):
    path, image = volume
    fn = with_weights(NETS[name], (1, 8, 8, 8, 1))
    frozen = sj.freeze_statistics(fn, path, tile=(4, 8, 8))
    shown = capsys.readouterr().err
    assert f"pass 1 of {frozen.cut.passes}" in shown
    assert f"pass {frozen.cut.passes} of {frozen.cut.passes}" in shown
    frozen.save(tmp_path / "statistics.npz")
    loaded = sj.load_statistics(fn, tmp_path / "statistics.npz")
    plan = sj.plan_tiles(loaded, image.shape, tile=(4, 8, 8), pad=None)
    assert plan.equals_whole
    target = str(tmp_path / "out.zarr")
    with killed(20), suppress(Dead, VolumeError):
        sj.predict_volume(loaded, path, target, plan, progress=False)
    stored = sj.predict_volume(loaded, path, target, plan, progress=False)
    whole = np.asarray(jax.jit(fn)(image))
    np.testing.assert_allclose(np.moveaxis(stored[:], 0, -1), whole[0], rtol=0, atol=1e-5 * np.abs(whole).max())


def test_outputs_on_a_coarser_grid_without_statistics(tmp_path):
    image = np.random.default_rng(0).integers(0, 200, (24, 64, 48)).astype(np.float32)
    fn = with_weights(StarDist(), (1, 8, 8, 8, 1))
    plan = sj.plan_tiles(fn, (1, *image.shape, 1), tile=(6, 8, 8), pad=None)
    assert np.prod(plan.grid) > 1
    target = str(tmp_path / "out.zarr")
    with killed(20), suppress(Dead, VolumeError):
        sj.predict_volume(fn, image, target, plan, progress=False)
    stored = sj.predict_volume(fn, image, target, plan, progress=False)
    whole = np.asarray(jax.jit(fn)(jnp.asarray(image)[None, ..., None]))
    assert whole.shape == (1, 24, 32, 24, 7)
    np.testing.assert_allclose(np.moveaxis(stored[:], 0, -1), whole[0], rtol=0, atol=1e-5 * np.abs(whole).max())


def test_an_interrupted_measurement_goes_on_after_the_last_pass(volume, tmp_path, monkeypatch):
    path, image = volume
    fn = with_weights(NETS["nnU-Net"], (1, 8, 8, 8, 1))
    file, passes = tmp_path / "passes.npz", []
    measured = _freeze.measure

    def counted(work, *arguments):
        passes.append(work.operands.which)
        if len(passes) == 3:
            raise KeyboardInterrupt
        return measured(work, *arguments)

    monkeypatch.setattr(_freeze, "measure", counted)
    options: dict[str, Any] = {"tile": (4, 8, 8), "progress": False}
    with pytest.raises(KeyboardInterrupt):
        sj.freeze_statistics(fn, path, journal=file, **options)
    frozen = sj.freeze_statistics(fn, path, journal=file, **options)
    assert len(passes) == frozen.cut.passes + 1  # of which the third was begun twice
    whole = np.asarray(jax.jit(fn)(image))
    np.testing.assert_allclose(jax.jit(frozen)(image), whole, rtol=0, atol=1e-5 * np.abs(whole).max())
    with pytest.raises(ValueError, match="passes over another image, or of another function"):
        sj.freeze_statistics(fn, np.asarray(image) + 1, journal=file, **options)
    with pytest.raises(ValueError, match="found another one, or other parameters"):
        sj.load_statistics(lambda x: fn(2 * x), file)


def spread_twice(x: Any) -> Any:
    y = x - x.max((1, 2, 3), keepdims=True)
    return y + y.min((1, 2, 3), keepdims=True)


def test_pixels_that_change_between_passes_or_calls_are_seen(volume, tmp_path, monkeypatch):
    path, image = volume
    stored: Any = zarr.open(path, mode="r+")
    journal, measured = tmp_path / "passes.npz", _freeze.measure
    options: dict[str, Any] = {"tile": 8, "progress": False, "journal": journal}
    frozen = sj.freeze_statistics(spread_twice, path, **options)
    np.testing.assert_array_equal(frozen(image), spread_twice(image))
    assert np.array_equal(sj.freeze_statistics(spread_twice, path, **options).values, frozen.values)  # the control
    stored[:] = stored[:] // 2
    with pytest.raises(ValueError, match="passes over another image"):
        sj.freeze_statistics(spread_twice, path, **options)

    def written_meanwhile(*arguments):
        stored[:] = stored[:] // 2
        return measured(*arguments)

    monkeypatch.setattr(_freeze, "measure", written_meanwhile)
    with pytest.raises(ValueError, match="found other pixels after pass 1 than before"):
        sj.freeze_statistics(spread_twice, path, tile=8, progress=False)


def test_integers_that_jax_does_not_hold(tmp_path):
    path = str(tmp_path / "wide.zarr")
    stored = zarr.create_array(path, data=np.arange(12 * 16).reshape(12, 16), chunks=(8, 8))
    options: dict[str, Any] = {"tile": 8, "progress": False, "preprocess": lambda x: x.astype(jnp.float32)}
    frozen = sj.freeze_statistics(lambda x: x - x.max((1, 2), keepdims=True), path, **options)
    assert frozen.values[0].item() == 191  # the control: they are few enough
    stored[5, 5] = 2**40
    with pytest.raises(ValueError, match="values that int32 holds, found int64"):
        sj.freeze_statistics(lambda x: x - x.max((1, 2), keepdims=True), path, **options)


def test_preprocessing_that_sees_the_size_of_a_tile_is_refused(volume, tmp_path):
    path, image = volume

    def by_length(x):
        return x / x.shape[1]

    with pytest.raises(ValueError, match="does something else in images of shape"):
        sj.freeze_statistics(lambda x: x - x.max((1, 2, 3), keepdims=True), path, preprocess=by_length, tile=8)
    plan = sj.plan_tiles(lambda x: x, image.shape, tile=8, pad=None)
    target = str(tmp_path / "out.zarr")
    with pytest.raises(ValueError, match="depends on the size of the image that it is given, here of a tile"):
        sj.predict_volume(lambda x: x, path, target, plan, preprocess=by_length, progress=False)


def test_with_what_predict_volume_does_before_the_network(volume, tmp_path):
    path, image = volume
    scale = sj.volume.normalize(path)

    def fn(x):
        return x - x.mean((1, 2, 3), keepdims=True)

    frozen = sj.freeze_statistics(fn, path, preprocess=scale, tile=8, progress=False)
    plan = sj.plan_tiles(frozen, image.shape, tile=8, pad=None)
    stored = sj.predict_volume(frozen, path, str(tmp_path / "out.zarr"), plan, preprocess=scale, progress=False)
    np.testing.assert_allclose(np.moveaxis(stored[:], 0, -1), fn(scale(image))[0], atol=1e-5)
    with pytest.raises(ValueError, match="acts on each pixel alone"):
        sj.freeze_statistics(fn, path, preprocess=lambda x: x[:, ::-1] * 1.0, progress=False)
