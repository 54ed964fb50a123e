"""What a run reads and what it has written is what it was: changed, lost and damaged data are seen, never mixed."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import threading
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr

import shiftjax as sj
from proofs_tests.volume.code_volumes import embedded, plan_for, segmented, smooth_codes
from proofs_tests.volume.harm import HARMS, READS, WRITES, at_once, chunks, failing, faults
from proofs_tests.volume.small import expected, net, plan, volume
from shiftjax.volume import VolumeError, new_target, open_prediction, open_source, predict_volume, segment_volume
from shiftjax.volume._jobs import resume
from shiftjax.volume._segmentation import stages
from shiftjax.volume._storage import journal, retry
from shiftjax.volume._targets import provenance

SHAPE, TILE = (8, 16, 15), (4, 8, 8)  # eight tiles
IMAGE = volume(SHAPE)
NET, PLAN, RIGHT = net(), plan(shape=SHAPE), expected(IMAGE)
FIRST = (slice(0, 4), slice(None), slice(None))  # half of the tiles


@pytest.fixture(autouse=True)
def each_tile_is_journaled(monkeypatch):
    monkeypatch.setattr(journal, "SECONDS", 0.0)


@pytest.fixture
def source(tmp_path):
    zarr.create_array(tmp_path / "in.zarr", data=IMAGE, chunks=(5, 6, 6))
    return tmp_path / "in.zarr"


def predict(source, target, **options):
    return predict_volume(NET, source, target, PLAN, progress=False, **options)


def counted():
    """A test of the input that passes all tiles, and how many it was asked about."""
    asked: list[int] = []

    def where(tile):
        asked.append(1)
        return True

    return asked, where


# What is stored of the target


@pytest.mark.parametrize(("harm", "zarr_format"), [(harm, 2 + k % 2) for k, harm in enumerate([*HARMS, *HARMS])][:6])
def test_damaged_chunks_are_computed_again(harm, zarr_format, source, tmp_path, capfd):
    target = new_target(tmp_path / "o", zarr_format=zarr_format)
    predict(source, target)
    HARMS[harm](chunks(tmp_path / "o" / "0")[3], random.Random(0))
    asked, where = counted()
    np.testing.assert_array_equal(predict(source, target, where=where)[:], RIGHT)
    assert len(asked) == 1
    assert "1 finished tiles of" in capfd.readouterr().err


def test_control_without_verifying_a_damaged_chunk_stays(source, tmp_path):
    predict(source, tmp_path / "o")
    harmed = chunks(tmp_path / "o" / "0")[3]
    whole = chunks(tmp_path / "o" / "0")[4].read_bytes()
    harmed.write_bytes(whole)  # a valid chunk, of another tile: no checksum of the format can tell
    assert (predict(source, tmp_path / "o", verify=False)[:] != RIGHT).any()
    np.testing.assert_array_equal(predict(source, tmp_path / "o")[:], RIGHT)


@pytest.mark.parametrize("harm", ["zeroed", "truncated", "flipped"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_every_reader_sees_a_damaged_chunk(harm, zarr_format, source, tmp_path):
    """By the checksum in the chunk, with zarr alone."""
    predict(source, new_target(tmp_path / "o", zarr_format=zarr_format))
    rng = random.Random(0)
    for path in chunks(tmp_path / "o" / "0")[:4]:
        whole = path.read_bytes()
        HARMS[harm](path, rng)
        with pytest.raises(Exception, match=r"."):
            zarr.open_array(tmp_path / "o" / "0")[:]
        path.write_bytes(whole)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "o" / "0")[:], RIGHT)


@pytest.mark.parametrize("harm", ["gone", "flipped"])
def test_a_damaged_journal_costs_tiles_and_nothing_else(harm, source, tmp_path):
    predict(source, tmp_path / "o")
    HARMS[harm](sorted((tmp_path / "o" / "0" / "journal").iterdir())[3], random.Random(0))
    asked, where = counted()
    np.testing.assert_array_equal(predict(source, tmp_path / "o", where=where)[:], RIGHT)
    assert len(asked) <= 1  # a flip may hit what means nothing


@pytest.mark.parametrize("change", [{"data_type": "int16"}, {"shape": [2, 5, 16, 15]}, {"fill_value": 7}])
def test_an_array_that_was_replaced_is_refused(change, source, tmp_path):
    predict(source, tmp_path / "o", region=FIRST)
    path = tmp_path / "o" / "0" / "zarr.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(VolumeError, match="not the one that was begun"):
        predict(source, tmp_path / "o")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_of_other_work_is_refused(zarr_format, source, tmp_path):
    """Put in the place of the target's own, with its journal: of the same shape and type, and finished."""
    ours, other = (new_target(tmp_path / name, zarr_format=zarr_format) for name in "op")
    predict(source, ours)
    predict(source, other, preprocess=lambda image: image.astype(jnp.int32) * 2)
    shutil.move(tmp_path / "o" / "0", tmp_path / "away")
    shutil.copytree(tmp_path / "p" / "0", tmp_path / "o" / "0")
    with pytest.raises(VolumeError, match="is that of other work"):
        predict(source, ours)
    shutil.rmtree(tmp_path / "o" / "0")
    shutil.move(tmp_path / "away", tmp_path / "o" / "0")
    np.testing.assert_array_equal(predict(source, ours)[:], RIGHT)


def test_an_array_that_was_sharded_is_refused(source, tmp_path):
    """Two tiles would share one object, and two workers would lose one of them."""
    made = predict(source, tmp_path / "o")
    kept: dict[str, Any] = {"chunks": made.chunks, "attributes": dict(made.attrs), "data": made[:]}
    zarr.create_array(tmp_path / "o" / "0", shards=(2, 8, 16, 16), fill_value=0, overwrite=True, **kept)
    with pytest.raises(VolumeError, match="not the one that was begun"):
        predict(source, tmp_path / "o")


def test_data_is_on_the_disk_before_the_journal_says_so(source, tmp_path, monkeypatch):
    synced, written = set(), set()
    late: list[str] = []
    real, replace = os.fsync, os.replace

    def fsync(handle):
        synced.add(os.path.realpath(f"/proc/self/fd/{handle}"))
        real(handle)

    def watched(draft, path):
        if "/journal/" in str(path):
            late.extend(path for path in map(str, chunks(tmp_path / "o" / "0")) if path not in synced)
            assert any(each.startswith(str(draft)) for each in synced)
            written.add(path)
        replace(draft, path)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", watched)
    predict_volume(NET, source, tmp_path / "o", PLAN, progress=False, where=lambda tile: True, batch_size=1)
    assert len(written) >= 8
    assert len(late) <= 2 * len(written)  # the chunk that is being written when the one before is journaled
    assert {str(path) for path in chunks(tmp_path / "o" / "0")} <= synced


def test_what_a_disk_forgot_is_written_again(source, tmp_path, monkeypatch):
    """A disk that could not keep a chunk says so once; asked once more it says that all is well, and has nothing."""
    forgotten, real = [], os.fsync

    def fsync(handle):
        path = os.readlink(f"/proc/self/fd/{handle}")
        if "/0/c/" in path and os.path.isfile(path) and path not in forgotten:
            forgotten.append(path)
            os.truncate(path, 0)
            raise OSError(errno.EIO, "EIO")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with at_once():
        predict(source, tmp_path / "o")
    assert len(forgotten) == 8
    np.testing.assert_array_equal(open_prediction(tmp_path / "o")[:], RIGHT)


def test_coarser_levels_are_on_the_disk_before_they_are_listed(source, tmp_path, monkeypatch):
    synced, real, replace, listed = set(), os.fsync, os.replace, []

    def fsync(handle):
        synced.add(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    def watched(draft, path):
        if str(path) == str(tmp_path / "o" / "zarr.json") and b'"path": "1"' in Path(draft).read_bytes():
            listed.append({str(each) for each in (tmp_path / "o" / "1").rglob("*") if each.is_file()} - synced)
        replace(draft, path)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", watched)
    predict(source, new_target(tmp_path / "o", levels=2))
    assert listed == [set()]


# The source


def test_a_changed_source_is_refused_where_it_was_read(source, tmp_path):
    predict(source, tmp_path / "o", region=FIRST)
    array, opened = zarr.open_array(source, mode="r+"), open_source(source)
    unsampled = np.ones(SHAPE, bool)
    for _, block in opened.sampled_blocks(provenance.BLOCKS, provenance.BLOCK):
        unsampled[block] = False
    image = IMAGE.copy()
    image[0, 0, 0] += 1  # a voxel that is not sampled by every digest, or is: both are refused
    array[:] = image
    with pytest.raises(VolumeError, match=r"another source|is not what it was when tile"):
        predict(source, tmp_path / "o")
    array[:] = IMAGE
    np.testing.assert_array_equal(predict(source, tmp_path / "o")[:], RIGHT)


def test_verify_names_where_the_source_changed(tmp_path):
    """One voxel of a large source, which neither the sampled blocks nor a sample of tiles need meet."""
    shape = (40, 64, 64)
    image, planned = volume(shape), plan(shape=shape, tile=(8, 16, 16))
    zarr.create_array(tmp_path / "in.zarr", data=image, chunks=(40, 32, 32))
    predict_volume(NET, tmp_path / "in.zarr", tmp_path / "o", planned, progress=False)
    seen = np.zeros(shape, bool)
    for _, block in open_source(tmp_path / "in.zarr").sampled_blocks(provenance.BLOCKS, provenance.BLOCK):
        seen[block] = True
    z, y, x = np.argwhere(~seen)[-1]
    zarr.open_array(tmp_path / "in.zarr", mode="r+")[z, y, x] = image[z, y, x] ^ 1
    with pytest.raises(VolumeError, match=rf"is not what it was when .*tile \({z // 8}, {y // 16}, {x // 16}\)"):
        predict_volume(NET, tmp_path / "in.zarr", tmp_path / "o", planned, progress=False, verify=True)


class Outage:
    """An array whose first reads fail."""

    def __init__(self, data, count):
        self.data, self.left, self.shape, self.dtype = data, count, data.shape, data.dtype

    def __getitem__(self, index):
        self.left -= 1
        if self.left >= 0:
            raise OSError(errno.EIO, "Input/output error")
        return self.data[index]


def test_an_outage_is_waited_for_and_counted(tmp_path, capfd):
    with at_once():
        made = predict(Outage(IMAGE, 5), tmp_path / "o", region=FIRST)
        made = predict(Outage(IMAGE, 3), tmp_path / "o")
    np.testing.assert_array_equal(made[:], RIGHT)


def test_an_outage_makes_no_source_another_one(tmp_path):
    predict(IMAGE, tmp_path / "o", region=FIRST)
    with at_once():
        for count in (5, 10**9):
            with pytest.raises(VolumeError, match="another source" if count == 5 else "Input/output error"):
                predict(Outage(volume(SHAPE, 5), count), tmp_path / "o")
            with pytest.raises(VolumeError, match="Input/output error"):
                predict(Outage(volume(SHAPE, 5), 10**9), tmp_path / "p")


@pytest.mark.parametrize("places", [READS, WRITES], ids=["reads", "writes"])
def test_a_disk_that_fails_now_and_then(places, source, tmp_path, capfd):
    with at_once(), faults(places, failing(0.2, errno.EIO, random.Random(1))):
        made = predict(source, tmp_path / "o")
    np.testing.assert_array_equal(made[:], RIGHT)
    assert "failed and were tried again" in capfd.readouterr().err


def test_control_a_full_disk_is_not_tried_again(source, tmp_path):
    before = retry.TRIED_AGAIN[0]
    with (
        faults(WRITES, failing(1.0, errno.ENOSPC, random.Random(0), after=9)),
        pytest.raises(VolumeError, match="ENOSPC"),
    ):
        predict(source, tmp_path / "o")
    assert retry.TRIED_AGAIN[0] == before


def test_missing_chunks_are_counted_and_computed_again_once_they_are_there(source, tmp_path, capfd):
    path = source / "c" / "1" / "2" / "2"
    data = path.read_bytes()
    path.unlink()
    filled = IMAGE.copy()
    filled[5:10, 12:18, 12:18] = 0
    predict(filled, tmp_path / "other", region=FIRST)  # control: nothing is missing there
    assert "has not" not in capfd.readouterr().err
    np.testing.assert_array_equal(predict(source, tmp_path / "o")[:], expected(filled))
    assert "tiles read chunks that" in capfd.readouterr().err
    path.write_bytes(data)
    with pytest.raises(VolumeError, match="another source"):  # of this small volume the chunk is sampled
        predict(source, tmp_path / "o")


def test_missing_chunks_beside_the_sampled_blocks(tmp_path, capfd):
    shape = (64, 64, 64)
    image, planned = volume(shape), plan(shape=shape, tile=32)
    zarr.create_array(tmp_path / "in.zarr", data=image, chunks=(8, 8, 8))
    seen = np.zeros(shape, bool)
    for _, block in open_source(tmp_path / "in.zarr").sampled_blocks(provenance.BLOCKS, provenance.BLOCK):
        seen[block] = True
    z, y, x = next(c for c in np.ndindex(8, 8, 8) if not seen[tuple(slice(8 * k, 8 * k + 8) for k in c)].any())
    path = tmp_path / "in.zarr" / "c" / str(z) / str(y) / str(x)
    data = path.read_bytes()
    path.unlink()
    with pytest.raises(VolumeError, match=rf"chunk c/{z}/{y}/{x} of the source is missing"):
        predict_volume(NET, tmp_path / "in.zarr", tmp_path / "p", planned, progress=False, missing="error")
    predict_volume(NET, tmp_path / "in.zarr", tmp_path / "o", planned, progress=False)
    path.write_bytes(data)
    capfd.readouterr()
    made = predict_volume(NET, tmp_path / "in.zarr", tmp_path / "o", planned, progress=False)
    assert "are computed again: chunks that" in capfd.readouterr().err
    np.testing.assert_array_equal(made[:], expected(image))


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("fill", [0, np.nan])
def test_chunks_that_are_there_are_not_missing(sharded, fill, tmp_path, capfd):
    """Chunks of nothing but the fill value, stored all the same."""
    data = np.full((8, 8, 8), fill, np.float32)
    shards: Any = {"shards": (8, 8, 8)} if sharded else {}
    with zarr.config.set({"array.write_empty_chunks": True}):
        array = zarr.create_array(tmp_path / "in.zarr", data=data, chunks=(4, 4, 4), fill_value=fill, **shards)
    read = open_source(tmp_path / "in.zarr", missing="error").at(0)
    assert read((slice(0, 8),) * 3).shape == (1, 8, 8, 8, 1)
    shutil.rmtree(tmp_path / "in.zarr" / "c")
    with pytest.raises(VolumeError, match="is missing"):
        read((slice(0, 8),) * 3)
    assert array.shape == (8, 8, 8)


@pytest.mark.parametrize("harm", ["gone", "other chunks", "other type"])
def test_a_source_that_is_replaced_while_it_is_read_is_refused(harm, source, tmp_path):
    def change(tile):
        if (source / "zarr.json").exists():
            shutil.rmtree(source)
            if harm == "other chunks":
                zarr.create_array(source, data=IMAGE, chunks=SHAPE)
            if harm == "other type":
                zarr.create_array(source, data=IMAGE.view(np.int8), chunks=(5, 6, 6))
        return True

    with pytest.raises(VolumeError, match=r"gone|replaced while it was read|cannot read pixels"):
        predict(source, tmp_path / "o", where=change, batch_size=1)


def test_a_region_of_an_unfinished_prediction(source, tmp_path):
    made = predict(source, tmp_path / "o", region=FIRST)
    planned = plan_for(SHAPE, TILE)
    options: Any = {"bandwidth": 1, "key": jax.random.key(0), "progress": False}
    for use in (
        lambda: open_prediction(tmp_path / "o"),
        lambda: open_source(tmp_path / "o"),
        lambda: open_source(tmp_path / "o" / "0", axes="czyx"),
        lambda: open_source(made, axes="czyx"),
        lambda: segment_volume(tmp_path / "o", tmp_path / "s", planned, **options),
        lambda: predict_volume(NET, tmp_path / "o", tmp_path / "s", planned, progress=False),
        lambda: open_source(tmp_path / "o", region=(slice(0, 5), slice(None), slice(None))),
    ):
        with pytest.raises(VolumeError, match=r"not finished: \d+ of \d+ tiles"):
            use()
    read = open_source(tmp_path / "o", region=FIRST).at(0)
    np.testing.assert_array_equal(np.moveaxis(read((slice(0, 4), slice(0, 16), slice(0, 15)))[0], -1, 0), RIGHT[:, :4])
    with pytest.raises(VolumeError, match="opened for the region"):
        read((slice(0, 5), slice(0, 16), slice(0, 15)))
    np.testing.assert_array_equal(open_prediction(tmp_path / "o", region=FIRST)[:, :4], RIGHT[:, :4])
    assert not (tmp_path / "s").exists()
    rest = threading.Timer(0.3, predict, (source, tmp_path / "o"))
    rest.start()
    np.testing.assert_array_equal(open_prediction(tmp_path / "o", wait=60)[:], RIGHT)
    rest.join()
    assert open_source(tmp_path / "o" / "0", axes="czyx").missing == "error"


def test_what_a_mask_leaves_out_is_finished(source, tmp_path):
    mask = np.zeros(SHAPE, bool)
    mask[:4] = True
    predict(source, tmp_path / "o", where=mask)
    assert open_source(tmp_path / "o").missing == "fill"
    predict(source, tmp_path / "p", where=lambda tile: tile.max() > 1000)
    assert not open_prediction(tmp_path / "p")[:].any()


class Stopped(BaseException):
    """As an interrupt."""


def test_what_is_wanted_after_all_is_not_finished_before_it_is_there(source, tmp_path):
    mask = np.zeros(SHAPE, bool)
    mask[:4] = True
    predict(source, tmp_path / "o", where=mask)
    assert not open_prediction(tmp_path / "o")[:, 4:].any()

    def stops(tile):
        if not done:
            raise Stopped
        return done.pop()

    done = [True]
    with pytest.raises(Stopped):
        predict(source, tmp_path / "o", where=stops, batch_size=1)
    assert not open_prediction(tmp_path / "o", region=FIRST)[:, 4:].all()
    for use in (open_prediction, open_source):
        with pytest.raises(VolumeError, match=r"not finished: [45] of 8 tiles"):
            use(tmp_path / "o")
    predict(source, tmp_path / "o", where=mask)  # by the first call again: nothing more is wanted of it
    np.testing.assert_array_equal(open_prediction(tmp_path / "o")[:, :4], RIGHT[:, :4])
    np.testing.assert_array_equal(predict(source, tmp_path / "o")[:], RIGHT)
    assert open_source(tmp_path / "o").missing == "error"  # no tile is left out any more


def test_a_region_is_one_of_the_image(source, tmp_path):
    """Counted from its end, not from that of its last tile; and never empty, of which nothing need be finished."""
    planned = plan(shape=(6, 16, 15))
    made = predict_volume(NET, IMAGE[2:], tmp_path / "o", planned, region=(slice(4, 6), *FIRST[1:]), progress=False)
    assert open_prediction(tmp_path / "o", region=(slice(-2, None), *FIRST[1:])).shape == made.shape
    with pytest.raises(VolumeError, match="not finished: 4 of 8 tiles"):
        open_prediction(tmp_path / "o", region=(slice(-4, None), *FIRST[1:]))
    for first in (slice(0, 0), slice(5, 3), slice(99, 100), slice(5, 0, -1), slice(0, 6, 2), slice(0, 2.5), slice("a")):
        for use in (open_prediction, open_source):
            with pytest.raises(ValueError, match=r"^`region`: expected"):
                use(tmp_path / "o", region=(first, *FIRST[1:]))
        with pytest.raises(ValueError, match=r"^`region`: expected"):
            open_source(IMAGE, region=(first, *FIRST[1:]))
    with pytest.raises(ValueError, match=r"^`region`: expected 3 slices"):
        open_source(IMAGE, region=FIRST[:1])


def test_a_region_of_planes(tmp_path):
    whole = tuple(slice(0, n) for n in SHAPE[1:])
    source = open_source(IMAGE, planes=True, region=(slice(2, 4), slice(3, 9), slice(None)))
    inside = (slice(3, 9), whole[1])
    np.testing.assert_array_equal(source.at(3)(inside)[0, ..., 0], IMAGE[3, 3:9])
    for frame, slices in ((1, inside), (4, inside), (3, whole), (3, (slice(2, 4), whole[1]))):
        with pytest.raises(VolumeError, match="opened for the region"):
            source.at(frame)(slices)


@pytest.mark.parametrize(
    "note",
    [
        {"journal": "journal"},
        {"journal": 3, "grid": [1, 2, 2, 2], "tile": [4, 8, 8]},
        {"journal": "\0", "grid": [1, 2, 2, 2], "tile": [4, 8, 8]},
        {"journal": "journal", "grid": "abc", "tile": [4]},
        {"journal": "journal", "grid": [1, "x", 2, 2], "tile": [4, 8, 8]},
        {"journal": "journal", "grid": [1, 2, 2, 2], "tile": [4, 8]},
        {"journal": "journal", "grid": [1, 10**9, 10**9, 2], "tile": [4, 8, 8]},  # more than fit into memory
    ],
)
def test_a_damaged_note_is_refused_in_words(note, tmp_path):
    array = zarr.create_array(tmp_path / "a", data=IMAGE, chunks=TILE, attributes={"shiftjax": note})
    with pytest.raises(VolumeError, match=r"which tiles make it whole|not finished: 0 of 2000000000000000000 tiles"):
        open_source(tmp_path / "a")
    zarr.create_group(tmp_path / "g", attributes={"shiftjax": {"target layout": note}})
    with pytest.raises(VolumeError, match="does not say which arrays"):
        open_prediction(tmp_path / "g")
    del array.attrs["shiftjax"]
    assert open_source(tmp_path / "a").space == SHAPE


def test_a_lost_chunk_of_a_prediction_is_not_read_as_zeros(source, tmp_path):
    predict(source, tmp_path / "o")
    chunks(tmp_path / "o" / "0")[0].unlink()
    assert not zarr.open_array(tmp_path / "o" / "0")[0, 0, 0, 0]  # the control
    for region in (None, FIRST):
        with pytest.raises(VolumeError, match=r"1 chunks of the prediction .* are gone, such as c/0/0/0/0"):
            open_prediction(tmp_path / "o", region=region)
    rest = (slice(4, 8), *FIRST[1:])
    np.testing.assert_array_equal(open_prediction(tmp_path / "o", region=rest)[:, 4:], RIGHT[:, 4:])
    predict(source, tmp_path / "o")
    np.testing.assert_array_equal(open_prediction(tmp_path / "o")[:], RIGHT)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_lost_chunk_beside_tiles_that_were_left_out(zarr_format, tmp_path):
    """Only chunks of tiles that nobody wanted may be missing, also of planes at several times."""
    images = np.random.default_rng(1).integers(1, 99, (2, 3, 8, 8)).astype(np.float32)  # t, z, y, x
    planned = sj.plan_tiles(lambda x: 2 * x, (1, 8, 8, 1), tile=(4, 4))
    mask = np.zeros(images.shape, bool)
    mask[1, 2, 5, 1] = mask[0, 1, 0, 0] = True

    def predict_marked():
        target = new_target(tmp_path / "o", zarr_format=zarr_format)
        options: Any = {"axes": "tzyx", "where": mask, "progress": False}
        return predict_volume(lambda x: 2 * x, images, target, planned, **options)

    def read(frame, y, x):
        part = slice(y, y + 4), slice(x, x + 4)
        return open_source(tmp_path / "o", planes=True).at(frame)(part)[0, ..., 0]

    predict_marked()
    np.testing.assert_array_equal(open_prediction(tmp_path / "o")[1, 0, 2, 4:, :4], 2 * images[1, 2, 4:, :4])
    for frame, place in ((0, (0, 0)), (5, (0, 0)), (5, (4, 4))):  # control: these nobody wanted
        assert not read(frame, *place).any()
    np.testing.assert_array_equal(read(5, 4, 0), 2 * images[1, 2, 4:, :4])
    chunk = tmp_path / "o" / "0" / ("c" if zarr_format == 3 else "") / "1/0/2/1/0"
    data = chunk.read_bytes()
    chunk.unlink()
    with pytest.raises(VolumeError, match=r"1 chunks of the prediction .* are gone, such as (c/)?1/0/2/1/0 "):
        open_prediction(tmp_path / "o")
    with pytest.raises(VolumeError, match="1/0/2/1/0 of the source is missing; the call that began it"):
        read(5, 4, 0)
    assert open_prediction(tmp_path / "o", region=(slice(0, 4), slice(None))).shape == (2, 1, 3, 8, 8)
    predict_marked()
    assert chunk.read_bytes() == data
    np.testing.assert_array_equal(read(5, 4, 0), 2 * images[1, 2, 4:, :4])


def test_unfinished_labels_are_no_mask(tmp_path, monkeypatch):
    from shiftjax.volume._segmentation import passes

    codes = smooth_codes((12, 12))
    with monkeypatch.context() as patched:
        patched.setattr(passes.LabelPass, "__call__", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            segmented(codes, (5, 5), tmp_path / "o")
    with pytest.raises(VolumeError, match="0 of 9 tiles"):
        open_source(tmp_path / "o" / "labels" / "instances")
    segmented(codes, (5, 5), tmp_path / "o")
    open_source(tmp_path / "o" / "labels" / "instances")


def test_a_changed_embedding_is_refused(tmp_path):
    codes, options = smooth_codes((40, 40)), {"verify": True}
    zarr.save_array(str(tmp_path / "in.zarr"), embedded(codes))
    segmented(codes, (5, 5), tmp_path / "o", source=tmp_path / "in.zarr")
    seen = np.zeros((40, 40), bool)
    for _, block in open_source(tmp_path / "in.zarr", axes="yxc").sampled_blocks(provenance.BLOCKS, provenance.BLOCK):
        seen[block] = True
    y, x = np.argwhere(~seen)[0] if not seen.all() else (0, 0)
    array: Any = zarr.open_array(tmp_path / "in.zarr", mode="r+")
    array[y, x, 0] = 9
    for path in (tmp_path / "o").rglob("results/objects"):
        path.unlink()
    with pytest.raises(VolumeError, match=r"is not what it was|another embedding"):
        segmented(codes, (5, 5), tmp_path / "o", source=tmp_path / "in.zarr", **options)


@pytest.mark.parametrize("verify", [None, False])
def test_a_lost_tile_is_not_written_from_another_source(verify, source, tmp_path, monkeypatch):
    """It would be one of the new source among those of the old one."""
    monkeypatch.setattr(resume, "SAMPLED", 0)  # a change somewhere in a large volume, where nobody looks
    monkeypatch.setattr(provenance, "BLOCKS", 0)
    predict(source, tmp_path / "o")
    lost = chunks(tmp_path / "o" / "0")[0]
    lost.unlink()
    array: Any = zarr.open_array(source, mode="r+")
    array[0, 0, 0] = 255 - IMAGE[0, 0, 0]
    with pytest.raises(VolumeError, match=r"is not what it was when tile \(0, 0, 0\)"):
        predict(source, tmp_path / "o", verify=verify)
    assert not lost.exists()
    array[0, 0, 0] = IMAGE[0, 0, 0]
    np.testing.assert_array_equal(predict(source, tmp_path / "o", verify=verify)[:], RIGHT)


def test_an_embedding_that_changes_between_two_passes_is_refused(tmp_path, monkeypatch):
    """The codes would be those of the one, the labels those of the other."""
    codes = smooth_codes((12, 12))
    embedding, find = embedded(codes), stages.find_codes
    before = embedding[11, 11].copy()
    options: Any = {"source": embedding, "codebook": None, "samples": 100, "seeds": 16}
    right = segmented(codes, (5, 5), tmp_path / "right", **options).labels[:]

    def meanwhile(sample, **settings):
        embedding[11, 11] += 1
        return find(sample, **settings)

    monkeypatch.setattr(stages, "find_codes", meanwhile)
    with pytest.raises(VolumeError, match=r"is not what it was when tile \(2, 2\).*computed"):
        segmented(codes, (5, 5), tmp_path / "o", **options)
    with pytest.raises(VolumeError, match=r"is not what it was|another embedding|another blocks"):
        segmented(codes, (5, 5), tmp_path / "o", **options, verify=True)
    embedding[11, 11] = before
    np.testing.assert_array_equal(segmented(codes, (5, 5), tmp_path / "o", **options).labels[:], right)


# Versions


def test_other_versions_are_refused_unless_they_are_accepted(source, tmp_path, monkeypatch):
    predict(source, tmp_path / "o", region=FIRST)
    monkeypatch.setattr(jax, "__version__", "99.0")
    with pytest.raises(VolumeError, match=r"another version of jax \(.*, here 99.0\).*accept_versions=True"):
        predict(source, tmp_path / "o")
    np.testing.assert_array_equal(predict(source, tmp_path / "o", accept_versions=True)[:], RIGHT)
    (record,) = (tmp_path / "o" / "0" / "versions").iterdir()
    assert json.loads(record.read_text())["jax"] == "99.0"
    predict(source, tmp_path / "o")  # what was accepted once is


def times(factor):
    return lambda image: image.astype(jnp.int32) * factor


def test_control_other_preprocessing_is_refused(source, tmp_path):
    predict(source, tmp_path / "o", preprocess=times(2), region=FIRST)
    with pytest.raises(VolumeError, match="another preprocess"):
        predict(source, tmp_path / "o", preprocess=times(3))
