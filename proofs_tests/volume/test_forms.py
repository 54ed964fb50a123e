"""One form for sources, masks, `where` and `foreground`: axes of one pixel, channels, planes; in commands too."""

from __future__ import annotations

import pickle
from typing import Any

import jax
import numpy as np
import pytest
import tifffile
import zarr

import shiftjax as sj
from shiftjax.__main__ import main
from shiftjax.volume import VolumeError, new_target, open_prediction, open_source, predict_volume, segment_volume
from shiftjax.volume._sources.mask import open_mask

QUIET: Any = {"progress": False}
STACK = np.random.default_rng(0).integers(0, 99, (5, 20, 17)).astype(np.float32)  # z, y, x
HERE = "proofs_tests.volume.test_forms"


def smear(image):
    """A network of y and x alone, and a refusal for any other image."""
    if image.ndim != 4:
        raise ValueError(f"expected (batch, y, x, channel), found {image.shape}")
    return image[:, 1:-1] + image[:, 2:]


def smeared(image):
    """What `smear` gives, by NumPy, for (..., y, x)."""
    padded = np.pad(image, ((0, 0),) * (image.ndim - 2) + ((1, 1), (0, 0)), mode="reflect")
    return padded[..., 1:-1, :] + padded[..., 2:, :]


def flat_plan(shape=STACK.shape[1:], channels=1):
    return sj.plan_tiles(smear, (1, *shape, channels), tile=8)


def test_a_flat_network_over_the_planes_of_a_stack(tmp_path):
    made = predict_volume(smear, STACK, tmp_path / "o", flat_plan(), axes="zyx", **QUIET)
    assert (made.metadata.dimension_names, made.chunks[1]) == (tuple("czyx"), 1)
    np.testing.assert_array_equal(made[0], smeared(STACK))
    by_name = predict_volume(smear, open_source(STACK, axes="zyx", planes=True), tmp_path / "p", flat_plan(), **QUIET)
    np.testing.assert_array_equal(by_name[:], made[:])
    film = np.stack([STACK, STACK[::-1]])
    made = predict_volume(smear, film, tmp_path / "q", flat_plan(), axes="tzyx", **QUIET)
    np.testing.assert_array_equal(made[:, 0], smeared(film))
    (tmp_path / "q" / "0" / "c" / "1" / "0" / "3" / "0" / "0").unlink()
    again = predict_volume(smear, film, tmp_path / "q", flat_plan(), axes="tzyx", **QUIET)
    np.testing.assert_array_equal(again[:, 0], smeared(film))


def test_planes_are_told_by_their_place(tmp_path):
    bad = STACK.copy()
    bad[3, 12, 5] = np.nan
    with pytest.raises(VolumeError, match=r"tile \(1, 0\) in plane 3, pixels y 7 to 17"):
        predict_volume(smear, bad, tmp_path / "o", flat_plan(), axes="zyx", batch_size=1, **QUIET)
    for axes, say in (("tyx", "expected a source with the axes z, y and x"), ("xy", None)):
        with pytest.raises(ValueError, match=say or "letters"):
            open_source(STACK, axes=axes, planes=True)


def test_control_a_stack_as_times_loses_its_z(tmp_path):
    made = predict_volume(smear, STACK, tmp_path / "o", flat_plan(), axes="tyx", **QUIET)
    assert made.metadata.dimension_names == tuple("tcyx")


@pytest.mark.parametrize("axes", ["zyx", "czyx", "tczyx", "cyx", "yxc"])
def test_axes_of_one_pixel_just_work(axes, tmp_path):
    shape = tuple({"y": 20, "x": 17}.get(name, 1) for name in axes)
    made = predict_volume(smear, STACK[0].reshape(shape), tmp_path / "o", flat_plan(), axes=axes, **QUIET)
    np.testing.assert_array_equal(made[:].reshape(20, 17), smeared(STACK[0]))


def test_leading_axes_of_one_pixel_need_no_letter(tmp_path):
    source = open_source(STACK[None, None])
    assert (source.space, source.assumed) == (STACK.shape, True)
    np.testing.assert_array_equal(source.at(0)((slice(1, 3), slice(0, 9), slice(2, 5)))[0, ..., 0], STACK[1:3, :9, 2:5])
    with pytest.raises(ValueError, match="'czyx'"):
        open_source(np.stack([STACK, STACK]))


@pytest.mark.parametrize("given", ["path", "source", "channel"])
def test_one_channel_of_several(given, tmp_path):
    both = np.stack([np.full_like(STACK[0], np.nan), STACK[0]])
    zarr.create_array(str(tmp_path / "in"), data=both, chunks=(1, 8, 8), dimension_names=list("cyx"))
    source: Any = tmp_path / "in"
    chosen: Any = {"channel": 1}
    if given == "source":
        source, chosen = open_source(source, channel=1), {}
    if given == "channel":
        source = open_source(source)
    scale = sj.volume.normalize(source, low=0, high=100, **chosen)
    assert scale.keywords["high"].shape == (1,)
    made = predict_volume(smear, source, tmp_path / "o", flat_plan(), **chosen, **QUIET)
    np.testing.assert_array_equal(made[0], smeared(STACK[0]))
    with pytest.raises(ValueError, match="choose one of the source's channels with `channel=`"):
        predict_volume(smear, tmp_path / "in", tmp_path / "p", flat_plan(), **QUIET)
    with pytest.raises(VolumeError, match="another source"):  # the channel is part of what a target is made from
        predict_volume(smear, STACK[0], tmp_path / "o", flat_plan(), axes="yx", **QUIET)
    unchecked: Any = getattr(open_source, "__wrapped__", open_source)  # as users call it: without the tests' types
    for wrong in (2, -1, "1", True):
        with pytest.raises(ValueError, match="`channel`"):
            unchecked(tmp_path / "in", channel=wrong)


def masks(tmp_path, kept):
    """One mask in many forms."""
    tifffile.imwrite(tmp_path / "mask.tif", kept.astype(np.uint8), photometric="minisblack")
    zarr.create_array(str(tmp_path / "mask5"), data=kept[None, None], dimension_names=list("tczyx"))
    zarr.create_array(str(tmp_path / "bare5"), data=kept[None, None])
    both = np.stack([~kept, kept])
    zarr.create_array(str(tmp_path / "two"), data=both, dimension_names=list("czyx"))
    return {
        "array": kept,
        "of five axes": kept[None, None],
        "a TIFF file whose axes mean nothing": tmp_path / "mask.tif",
        "named, of five axes": str(tmp_path / "mask5"),
        "without names, of five axes": tmp_path / "bare5",
        "a channel of a source": open_source(tmp_path / "two", channel=1),
    }


@pytest.mark.parametrize("planes", [False, True])
def test_masks_in_every_form(planes, tmp_path):
    kept = np.random.default_rng(1).random(STACK.shape) > 0.5
    source = open_source(STACK, axes="zyx", planes=planes)
    cut = (slice(0, 5), slice(1, 9), slice(2, 9))[planes:]
    for form, given in masks(tmp_path, kept).items():
        mask = open_mask("where", given, source)
        assert (mask.space, mask.times, mask.channels) == (source.space, source.times, 1), form
        for frame in range(mask.times):
            wanted = kept[frame] if planes else kept
            np.testing.assert_array_equal(mask.at(frame)(cut)[0, ..., 0], wanted[cut], err_msg=form)
        if form.startswith("a TIFF"):
            mask.array.store.close()
    flat = open_mask("where", kept[0], source) if planes else None  # of one plane: it counts for all of them
    assert flat is None or flat.times == 1
    for wrong in (np.ones((2, *STACK.shape), bool), open_source(tmp_path / "two"), kept[0, 0]):
        with pytest.raises(ValueError, match=r"`where`|`axes`"):
            open_mask("where", wrong, source)


def test_masks_reach_the_tiles_and_the_pixels(tmp_path):
    kept = np.zeros(STACK.shape, bool)
    kept[2, 3, 4] = kept[4, 19, 16] = True
    held = np.zeros(STACK.shape, bool)
    held[2, :8, :8] = held[4, 16:, 16:] = True
    made = predict_volume(smear, STACK + 1, tmp_path / "o", flat_plan(), axes="zyx", where=kept[None, None], **QUIET)
    np.testing.assert_array_equal(made[0] != 0, held)
    known: Any = {"bandwidth": 1, "key": jax.random.key(0), "codebook": np.zeros((1, 1), np.float32), "axes": "zyx"}
    plan = sj.plan_tiles(same, (1, *STACK.shape[1:], 1), tile=10)
    found = segment_volume(STACK, tmp_path / "s", plan, foreground=kept[None, None], **known, **QUIET)
    np.testing.assert_array_equal(found.labels[:] > 0, kept)
    assert (found.objects, found.labels.shape) == (2, STACK.shape)
    with pytest.raises(ValueError, match=r"`foreground`: expected a mask of \(20, 17\) pixels, found \(20, 9\)"):
        segment_volume(STACK, tmp_path / "w", plan, foreground=kept[..., :9], **known, **QUIET)


def test_a_mask_of_which_a_chunk_is_missing(tmp_path):
    """It would leave out what it marks, without a word."""
    zarr.create_array(tmp_path / "mask", data=np.ones(STACK.shape, np.uint8), chunks=(1, 8, 8))
    (tmp_path / "mask" / "c" / "2" / "0" / "0").unlink()
    known: Any = {"bandwidth": 1, "key": jax.random.key(0), "codebook": np.zeros((1, 1), np.float32), "axes": "zyx"}
    plan = sj.plan_tiles(same, (1, *STACK.shape[1:], 1), tile=10)

    def use(work, target, mask, **options):
        if work == "predict":
            return predict_volume(smear, STACK + 1, target, flat_plan(), axes="zyx", where=mask, **options, **QUIET)
        return segment_volume(STACK, target, plan, foreground=mask, **options, **known, **QUIET).labels

    for work in ("predict", "segment"):
        with pytest.raises(VolumeError, match="chunk c/2/0/0 of the source is missing"):
            use(work, tmp_path / f"{work}1", tmp_path / "mask", missing="error")
        for number, mask in enumerate((tmp_path / "mask", open_source(tmp_path / "mask"))):  # by path, and by choice
            made = use(work, tmp_path / f"{work}{number}", mask, missing=("fill", "error")[number])
            assert not made[..., 2, :8, :8].any()
            assert (made[:] != 0).mean() == 1 - 64 / STACK.size


def same(image):
    """A network that does nothing."""
    return image * 1


def test_a_mask_for_each_time_point(tmp_path):
    film = np.stack([STACK[0], STACK[1]]) + 1
    kept = np.zeros(film.shape, bool)
    kept[0, 0, 0] = kept[1, 19, 16] = True
    made = predict_volume(smear, film, tmp_path / "o", flat_plan(), axes="tyx", where=kept, **QUIET)
    assert made[0, 0, :8, :8].all()
    assert not made[0, 0, 16:].any()
    assert made[1, 0, 16:, 16:].all()
    assert not made[1, 0, :8, :8].any()


def test_commands_take_the_same_forms(tmp_path, capsys):
    kept = np.zeros(STACK.shape, bool)
    kept[2, 3, 4] = True
    zarr.create_array(str(tmp_path / "in"), data=np.stack([STACK * 0 + 1, STACK + 1]), dimension_names=list("czyx"))
    zarr.create_array(str(tmp_path / "masks"), data=np.stack([~kept, kept]), dimension_names=list("czyx"))
    source, target = str(tmp_path / "in"), str(tmp_path / "o")
    asked = ["predict", "--net", f"{HERE}:smear", source, target, "--tile", "8", "--channel", "1", "--quiet"]
    assert main([*asked, "--where", str(tmp_path / "masks"), "--where-channel", "1", "--levels", "2"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "each of its 5 planes is an image of its own" in said[0]  # nothing else could be meant by a flat network
    made = open_prediction(target)
    np.testing.assert_array_equal(made[0, 2, :8, :8], smeared(STACK + 1)[2, :8, :8])
    assert made[0].astype(bool).sum() == 64
    assert open_source(target, level=1).space == (5, 10, 9)
    again = ["segment", target, str(tmp_path / "s"), "--planes", "--tile", "8", "--bandwidth", "1", "--quiet"]
    assert main([*again, "--mask", str(tmp_path / "masks"), "--mask-channel", "1"]) == 0
    labels: Any = zarr.open_array(str(tmp_path / "s" / "labels" / "instances" / "0"))[:]
    np.testing.assert_array_equal(labels > 0, kept)
    assert main([*again, "--mask-channel", "1"]) == 2
    assert "expected `--mask`" in capsys.readouterr().err


def test_a_new_target_says_how_many_levels(tmp_path):
    unchecked: Any = getattr(new_target, "__wrapped__", new_target)
    for levels in (0, 33, "2", True, 1.5):
        with pytest.raises(ValueError, match="`levels`"):
            unchecked(tmp_path / "o", levels=levels)
    assert new_target(tmp_path / "o", levels=3).levels == 3


def test_what_is_seen_of_a_source_travels_with_it(tmp_path):
    """To another process, by its address."""
    both = np.stack([STACK, STACK + 1])[None]
    zarr.create_array(str(tmp_path / "in"), data=both, chunks=(1, 1, 2, 8, 8))
    source = open_source(tmp_path / "in", axes="czyx", channel=1).for_network(2)
    again = pickle.loads(pickle.dumps(source))
    assert (again.form, again.space, again.times) == (source.form, (20, 17), 5)
    np.testing.assert_array_equal(again.at(3)((slice(0, 9), slice(2, 5)))[0, ..., 0], STACK[3, :9, 2:5] + 1)
    zarr.create_array(str(tmp_path / "mask"), data=STACK[None, None] > 50)
    laid = open_mask("where", tmp_path / "mask", source)
    other = pickle.loads(pickle.dumps(laid))
    assert (other.form, other.times) == (laid.form, 5)
    np.testing.assert_array_equal(other.at(4)((slice(0, 9), slice(2, 5)))[0, ..., 0], STACK[4, :9, 2:5] > 50)


def test_pieces_that_are_read_again_and_again_are_said(tmp_path, capfd):
    """A page or a chunk far larger than a tile is decoded for each tile, which may cost days."""
    stack = np.zeros((3, 40, 40), np.float32)
    zarr.create_array(str(tmp_path / "planes"), data=stack, chunks=(1, 40, 40), dimension_names=list("zyx"))
    zarr.create_array(str(tmp_path / "small"), data=stack, chunks=(1, 8, 8), dimension_names=list("zyx"))
    predict_volume(smear, tmp_path / "planes", tmp_path / "o", flat_plan((40, 40)))
    assert "stored in pieces of 40 x 40 px, each of which is read again for about 25 tiles" in capfd.readouterr().err
    predict_volume(smear, tmp_path / "small", tmp_path / "p", flat_plan((40, 40)))
    assert "stored in pieces" not in capfd.readouterr().err
