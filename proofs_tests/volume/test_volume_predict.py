"""A volume predicted from storage to storage is the network on the whole volume, bit for bit."""

from __future__ import annotations

import threading
import time
import uuid
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr
from jax.tree_util import Partial

import shiftjax as sj
from proofs_tests.volume.small import SHAPE, WEIGHTS, convolve, expected, net, plan, times_three, volume
from shiftjax.volume import VolumeError, new_target, open_prediction, open_source, predict_volume
from shiftjax.volume._storage.journal import Journal
from shiftjax.volume._targets.target import Target

QUIET: Any = {"progress": False}


@cache
def the_plan(pad="reflect"):
    return plan(pad=pad)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_equals_the_whole(zarr_format, place, tmp_path):
    root = str(tmp_path) if place == "disk" else f"memory://{uuid.uuid4().hex}"
    zarr.create_array(f"{root}/in.zarr", data=volume(), chunks=(5, 5, 5), zarr_format=zarr_format)
    made = predict_volume(net(), f"{root}/in.zarr", f"{root}/out.zarr", the_plan(), **QUIET)
    assert made.metadata.zarr_format == zarr_format
    np.testing.assert_array_equal(made[:], expected(volume()))
    np.testing.assert_array_equal(open_prediction(f"{root}/out.zarr")[:], expected(volume()))


def test_a_flax_network(tmp_path):
    unet = sj.UNet(2, ndim=3, features=2, factors=(2,), convs=1, param_dtype=jnp.int32)
    size = [axis[-1][0] for axis in unet.legal_sizes(12)]
    variables = sj.testing.integer_variables(jax.random.key(0), unet, jnp.zeros((1, *size, 1), jnp.int32))
    fn = Partial(unet.apply, variables)
    planned = plan(fn, tile=(4, 8, 6))
    assert planned.equals_whole
    made = predict_volume(fn, volume(), tmp_path / "o", planned, **QUIET)
    whole = fn(jnp.pad(jnp.asarray(volume(), jnp.int32)[None, ..., None], planned.pad_width, mode="reflect"))
    np.testing.assert_array_equal(made[:], np.moveaxis(np.asarray(whole[planned.whole_crop])[0], -1, 0))


def test_time_and_channels_in_any_order(tmp_path):
    stored = np.random.default_rng(3).integers(0, 99, (9, 2, 10, 3, 5)).astype(np.int16)  # x, c, y, t, z
    weights = np.random.default_rng(4).integers(-5, 6, (1, 1, 1, 2, 3)).astype(np.int32)

    def mix(weights, image):
        sizes = ("NDHWC", "DHWIO", "NDHWC")
        return jax.lax.conv_general_dilated(image, weights, (1, 1, 1), "VALID", dimension_numbers=sizes)

    fn = Partial(mix, jnp.asarray(weights))
    planned = plan(fn, (5, 10, 9), 4, channels=2)
    made = predict_volume(fn, stored, tmp_path / "o", planned, axes="xcytz", **QUIET)
    wanted = np.einsum("xcytz,ck->tkzyx", stored.astype(np.int32), weights[0, 0, 0])
    np.testing.assert_array_equal(made[:], wanted)
    attributes: Any = zarr.open_group(tmp_path / "o").attrs.asdict()
    assert [axis["name"] for axis in attributes["ome"]["multiscales"][0]["axes"]] == list("tczyx")


def test_pixel_sizes_are_copied(tmp_path):
    group = zarr.create_group(tmp_path / "in", zarr_format=2)
    group.create_array("s0", data=volume()[None])
    steps = [
        {"type": "scale", "scale": [1, 3.0, 0.5, 0.25]},
        {"type": "translation", "translation": [0, 9.0, 0, 0]},
    ]
    named = [{"name": "c", "type": "channel"}]
    named += [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    image: Any = {"version": "0.4", "axes": named, "datasets": [{"path": "s0", "coordinateTransformations": steps}]}
    group.attrs["multiscales"] = [image]
    predict_volume(net(), tmp_path / "in", tmp_path / "o", the_plan(), **QUIET)
    attributes: Any = zarr.open_group(tmp_path / "o").attrs.asdict()
    written = attributes["multiscales"][0]
    assert written["version"] == "0.4"
    assert written["axes"] == named
    assert written["datasets"] == [{"path": "0", "coordinateTransformations": steps}]


def computed(made):
    """Which tiles were written: none of them is 0 everywhere."""
    tiles = the_plan()
    found = (made[:][(slice(None), *tiles.output_slices(place))].any() for place in tiles.tiles())
    return {place for place, some in zip(tiles.tiles(), found, strict=True) if some}


def test_a_region(tmp_path):
    cut = (slice(5, 8), slice(None), slice(-1, None))
    made = predict_volume(net(), volume(), tmp_path / "o", the_plan(), region=cut, **QUIET)
    meant = {place for place in the_plan().tiles() if place[0] == 1 and place[2] == 2}
    assert computed(made) == meant
    np.testing.assert_array_equal(made[:][:, 4:8, :, 16:], expected(volume())[:, 4:8, :, 16:])
    whole = predict_volume(net(), volume(), tmp_path / "o", the_plan(), **QUIET)  # and then the others
    np.testing.assert_array_equal(whole[:], expected(volume()))


@pytest.mark.parametrize("kind", ["whole size", "a third, rounded up", "stored"])
def test_a_mask(kind, tmp_path):
    mask = np.zeros(SHAPE, bool)
    mask[12, 17, 21] = mask[3, 8, 15] = True
    if kind == "a third, rounded up":
        mask = np.zeros((5, 6, 8), bool)
        mask[4, 5, 7] = mask[1, 2, 5] = True
    if kind == "stored":
        zarr.create_array(tmp_path / "mask", data=mask)
    where = tmp_path / "mask" if kind == "stored" else mask
    made = predict_volume(net(), volume(), tmp_path / "o", the_plan(), where=where, **QUIET)
    held = {place for place in the_plan().tiles() if _mask_at(mask, place)}
    assert computed(made) == held
    assert {(3, 2, 2), (0, 1, 1)} <= held < set(the_plan().tiles())
    with pytest.raises(ValueError, match="integer fraction"):
        predict_volume(net(), volume(), tmp_path / "p", the_plan(), where=np.ones((12, 18, 22)), **QUIET)


def _mask_at(mask, place):
    """By the pixels of the tile, one by one."""
    factor = round(SHAPE[0] / mask.shape[0])
    pixels = np.argwhere(np.ones(SHAPE, bool)[the_plan().output_slices(place)])
    pixels += [at.start for at in the_plan().output_slices(place)]
    return mask[tuple((pixels // factor).T)].any()


def test_a_test_of_the_input(tmp_path):
    dark = volume()
    dark[:8] = 0
    seen = []

    def bright(tile):
        seen.append(tile.shape)
        return tile.max() > 0

    made = predict_volume(net(), dark, tmp_path / "o", the_plan(), where=bright, **QUIET)
    assert set(seen) == {(1, *the_plan().tile_input, 1)}
    np.testing.assert_array_equal(made[:], expected(dark))  # what is left out is 0 here anyway
    padded = np.pad(dark, the_plan().pad_width[1:-1], mode="reflect")
    starts = {place: np.multiply(place, the_plan().tile_stride) for place in the_plan().tiles()}
    inputs = {
        p: tuple(slice(a, a + n) for a, n in zip(s, the_plan().tile_input, strict=True)) for p, s in starts.items()
    }
    lit = {k for k, place in enumerate(the_plan().tiles()) if padded[inputs[place]].any()}
    assert Journal(str(tmp_path / "o" / "0" / "journal")).finished == lit < set(range(36))


def test_a_smaller_type(tmp_path):
    made = predict_volume(net(), volume(), new_target(tmp_path / "o", dtype="bfloat16"), the_plan(), **QUIET)
    wanted = expected(volume()).astype(made.dtype)
    np.testing.assert_array_equal(made[:].view(np.uint16), wanted.view(np.uint16))


def test_several_outputs(tmp_path):
    def both(weights, image):
        found = convolve(weights, image)
        return {"seeds": found[..., :1].astype(jnp.int16), "code": found}

    fn = Partial(both, jnp.asarray(WEIGHTS))
    made = predict_volume(fn, volume(), tmp_path / "o", plan(fn), **QUIET)
    assert set(made) == {"seeds", "code"}
    np.testing.assert_array_equal(made["code"][:], expected(volume()))
    np.testing.assert_array_equal(made["seeds"][:], expected(volume())[:1].astype(np.int16))
    np.testing.assert_array_equal(open_prediction(tmp_path / "o", output="seeds")[:], made["seeds"][:])
    assert open_source(tmp_path / "o" / "code").axes == "czyx"
    with pytest.raises(ValueError, match="'seeds'"):
        open_prediction(tmp_path / "o")


@pytest.mark.parametrize("keys", [("a b", "a_b", "a_b_0"), ("_", "0"), ("code", "Code")])
def test_outputs_of_like_names_are_kept_apart(keys, tmp_path):
    def each(weights, image):
        return {key: convolve(weights, image) + k for k, key in enumerate(sorted(keys))}

    fn = Partial(each, jnp.asarray(WEIGHTS))
    made = predict_volume(fn, volume(), tmp_path / "o", plan(fn), **QUIET)
    assert len(made) == len({name.casefold() for name in made}) == len(keys)
    for k, array in enumerate(made.values()):
        np.testing.assert_array_equal(array[:], expected(volume()) + k)


@pytest.mark.parametrize("part", ["plan", "net", "closed-over net", "source", "preprocess", "target layout"])
def test_other_work_is_refused(part, tmp_path):
    image = volume()
    first: Any = {"fn": net(), "plan": the_plan(), "preprocess": times_three}
    if part == "closed-over net":
        first["fn"], part = (lambda w: lambda x: convolve(w, x))(jnp.asarray(WEIGHTS)), "net"
    first["plan"] = plan(first["fn"])
    other = dict(first)
    target = tmp_path / "o"
    if part == "plan":
        other["plan"] = plan(tile=(8, 8, 8))
    if part == "net":
        changed = WEIGHTS.copy()
        changed[1, 1, 1, 1] += 1
        same = first["fn"]
        other["fn"] = net(changed) if isinstance(same, Partial) else (lambda w: lambda x: convolve(w, x))(changed)
        other["plan"] = plan(other["fn"])
    if part == "preprocess":
        other["preprocess"] = lambda x: x.astype(jnp.int32) * 3 - 8
    if part == "target layout":
        target = new_target(target, dtype="int64")
    made = predict_volume(source=image, target=tmp_path / "o", **first, **QUIET)
    before = made[:]
    changed_image = image + 1 if part == "source" else image
    with pytest.raises(VolumeError, match=f"another {part}"):
        predict_volume(source=changed_image, target=target, **other, **QUIET)
    np.testing.assert_array_equal(made[:], before)
    again = predict_volume(source=image, target=tmp_path / "o", **first, **QUIET)
    np.testing.assert_array_equal(again[:], before)
    with pytest.raises(VolumeError, match="resume=True"):
        predict_volume(source=image, target=tmp_path / "o", **first, resume=False, **QUIET)


def test_a_plan_for_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`plan`.*as the source has them"):
        predict_volume(net(), volume((13, 18, 21)), tmp_path / "o", the_plan(), **QUIET)
    with pytest.raises(ValueError, match=r"`fn`.*planned.*for this function"):
        predict_volume(lambda x: jnp.concatenate([x, x], -1)[:, 1:-1, 1:-1, 1:-1], volume(), tmp_path / "o", the_plan())
    with pytest.raises(ValueError, match="int32 holds"):
        predict_volume(net(), volume().astype(np.float32), tmp_path / "o", the_plan(), **QUIET)
    with pytest.raises(ValueError, match="`region`"):
        predict_volume(net(), volume(), tmp_path / "o", the_plan(), region=(slice(1, 2),), **QUIET)
    assert not (tmp_path / "o").exists()


def test_the_bar(tmp_path, capfd):
    predict_volume(net(), volume(), tmp_path / "o", the_plan())
    shown = capfd.readouterr().err
    assert "36/36" in shown
    assert "tiles/s" in shown
    predict_volume(net(), volume(), tmp_path / "p", the_plan(), **QUIET)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("depth", [16, 64])
def test_little_is_read_ahead_of_a_slow_target(depth, tmp_path, monkeypatch):
    """While nothing can be written, the same few tiles are read however large the volume is."""
    image, hold, reads = volume((depth, 16, 16)), threading.Event(), []
    planned = plan(shape=image.shape, tile=4)
    write = Target.write

    class Counted:
        shape, dtype = image.shape, image.dtype

        def __getitem__(self, index):
            reads.append(index)
            return image[index]

    def held(self, *args, **options):
        assert hold.wait(60)
        write(self, *args, **options)

    monkeypatch.setattr(Target, "write", held)
    worker = threading.Thread(
        target=predict_volume, args=(net(), Counted(), tmp_path / "o", planned), kwargs={"batch_size": 1, **QUIET}
    )
    worker.start()
    count = -1
    while count != len(reads) or not reads:
        count = len(reads)
        time.sleep(1.0)
    sampled = 16  # blocks that identify the source
    assert len(reads) - sampled <= 10
    hold.set()
    worker.join(60)
    assert len(reads) - sampled == depth * 4
    np.testing.assert_array_equal(open_prediction(tmp_path / "o")[:], expected(image))
