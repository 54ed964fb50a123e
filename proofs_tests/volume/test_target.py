"""Targets: made, claimed by one work, written in chunks of which no two tiles share one, and read again."""

from __future__ import annotations

import json
import pickle
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from fsspec.core import url_to_fs
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from shiftjax.volume import VolumeError, new_target, open_prediction, open_source
from shiftjax.volume._storage import bfloat16
from shiftjax.volume._targets import layout
from shiftjax.volume._targets import new_target as binding
from shiftjax.volume._targets.target import begin_target, open_target

PROVENANCE = {"format": 2, "net": "a"}


STORED = np.random.default_rng(0).integers(0, 99, (2, 3, 4, 5, 6)).astype(np.int16)  # t, c, z, y, x


def begun(uri, zarr_format=3, dtype="int16", *, storage_options=None, provenance=PROVENANCE, resume=True):
    new = new_target(uri, dtype=dtype, zarr_format=zarr_format, storage_options=storage_options)
    described = layout.layout(open_source(STORED, axes="tczyx"), (2, 4, 3), 3, dtype, zarr_format)
    return begin_target(new, {"": described}, provenance=provenance, resume=resume)


def write_all(into):
    for time in range(2):
        for z, y, x in np.ndindex(2, 2, 2):
            cut = (slice(2 * z, 2 * z + 2), slice(4 * y, min(5, 4 * y + 4)), slice(3 * x, 3 * x + 3))
            tile = np.zeros((1, 2, 4, 3, 3), np.int16)
            kept = np.moveaxis(STORED[time][:, cut[0], cut[1], cut[2]], 0, -1)
            tile[:, :, : kept.shape[1]] = kept
            into.write(cut, {"": tile}, time=time)


@pytest.mark.parametrize("form", ["~/{}", "file://{}/{}", "local://{}/{}", "file:{}/{}"])
def test_places_of_this_machine(form, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    uri = form.format("o.zarr") if form[0] == "~" else form.format(tmp_path, "o.zarr")
    write_all(begun(uri))
    begun(uri).journal().add(1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.zarr"]
    np.testing.assert_array_equal(open_source(uri).array[:], STORED)
    np.testing.assert_array_equal(open_prediction(uri)[:], STORED)
    with pytest.raises(ValueError, match="`storage_options`"):
        begun(uri, storage_options={"anon": True})


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_lost_chunks_are_found(zarr_format, place, tmp_path):
    uri = str(tmp_path / "o.zarr") if place == "disk" else f"memory://{uuid.uuid4().hex}/o.zarr"
    into = begun(uri, zarr_format)
    first, last = (slice(0, 2), slice(0, 4), slice(0, 3)), (slice(2, 4), slice(4, 5), slice(3, 6))
    for cut in (first, last):
        into.write(cut, {"": np.zeros((1, 2, 4, 3, 3))}, time=1)  # nothing but the fill value, and stored all the same
    tiles = [(1, first), (0, first), (1, last)]
    assert list(into.lost(tiles)) == [False, True, False]
    files, path = url_to_fs(f"{uri}/0")
    files.rm_file(f"{path}/c/1/0/1/1/1" if zarr_format == 3 else f"{path}/1/0/1/1/1")
    assert list(open_target(uri).lost(tiles)) == [False, True, True]


@given(
    tile=st.lists(st.integers(1, 400), min_size=1, max_size=3),
    width=st.sampled_from([1, 2, 4, 64, 1000]),
)
def test_no_two_tiles_share_a_chunk(tile, width):
    chunk = layout._chunk(tile, width)
    assert all(t % c == 0 for t, c in zip(tile, chunk, strict=True))
    small = np.prod(chunk) * width <= layout.CHUNK_BYTES
    assert small or all(chunk[int(np.argmax(chunk))] % factor for factor in (2, 3, 5, 7))


def test_control_other_chunks_are_shared():
    """A chunk of 3 under tiles of 4: chunk 1 belongs to tiles 0 and 1."""
    owners = {chunk: {pixel // 4 for pixel in range(chunk * 3, chunk * 3 + 3)} for chunk in range(8)}
    assert any(len(tiles) > 1 for tiles in owners.values())
    cut = layout._chunk([4], 2**21)[0]
    assert all(len({pixel // 4 for pixel in range(c * cut, (c + 1) * cut)}) == 1 for c in range(8))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_targets_are_ome_zarr(zarr_format, tmp_path):
    uri = tmp_path / "o.zarr"
    write_all(begun(uri, zarr_format))
    group: Any = zarr.open_group(uri, mode="r")
    assert list(group) == ["0"]  # the journal does not show
    np.testing.assert_array_equal(group["0"][:], STORED)
    np.testing.assert_array_equal(open_prediction(uri)[:], STORED)
    attributes = group.attrs.asdict()
    image = (attributes["ome"] if zarr_format == 3 else attributes)["multiscales"][0]
    assert [axis["type"] for axis in image["axes"]] == ["time", "channel", "space", "space", "space"]
    assert (image.get("version") or attributes["ome"]["version"]) == {2: "0.4", 3: "0.5"}[zarr_format]
    assert open_source(uri).space == (4, 5, 6)  # it is a source again
    if zarr_format == 3:
        assert group["0"].metadata.dimension_names == tuple("tczyx")
    else:
        assert json.loads((uri / "0" / ".zarray").read_text())["dimension_separator"] == "/"


def test_only_the_same_work_goes_on(tmp_path):
    uri = tmp_path / "o.zarr"
    write_all(begun(uri))
    before = {path: path.read_bytes() for path in uri.rglob("*") if path.is_file()}
    np.testing.assert_array_equal(begun(uri).arrays[""][:], STORED)
    for options, say in (
        ({"provenance": {"format": 2, "net": "b"}}, "another net;"),
        ({"provenance": {"format": 3, "net": "a"}}, "another version of shiftjax;"),
        ({"dtype": "int32"}, "target layout"),
        ({"resume": False}, "exists already"),
        ({"zarr_format": 2}, "Zarr format"),
    ):
        with pytest.raises(VolumeError, match=say):
            begun(uri, **options)
    assert before == {path: path.read_bytes() for path in uri.rglob("*") if path.is_file()}


def test_foreign_targets_are_refused(tmp_path):
    zarr.create_array(tmp_path / "array.zarr", data=STORED)
    zarr.create_group(tmp_path / "group.zarr", attributes={"mine": 1})
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for name in ("array.zarr", "group.zarr", "folder", "file"):
        with pytest.raises(VolumeError, match="choose another target"):
            begun(tmp_path / name)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(VolumeError, match="cannot open a target of shiftjax"):
        open_target(tmp_path / "group.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_a_kill_leaves_of_the_first_writes(zarr_format, tmp_path):
    """Every subset of the files that making a target writes first: it is made all the same."""
    done = tmp_path / "done.zarr"
    begun(done, zarr_format)
    names = [".zgroup", ".zattrs", "0/.zarray"] if zarr_format == 2 else ["zarr.json", "0/zarr.json"]
    for count, kept in enumerate([[], names[:1], names[1:2], names[:2]]):
        if zarr_format == 3 and kept == names[1:2]:
            continue  # the array is written after the group
        torn = tmp_path / f"torn{count}.zarr"
        for name in kept:
            (torn / name).parent.mkdir(parents=True, exist_ok=True)
            (torn / name).write_bytes((done / name).read_bytes())
        torn.mkdir(exist_ok=True)
        (torn / "zarr.0123.partial").write_text("{")
        (torn / "of somebody.partial").write_text("{")
        target = begun(torn, zarr_format)
        target.remove_leftovers()
        assert [path.name for path in torn.glob("*.partial")] == ["of somebody.partial"]
        write_all(target)
        np.testing.assert_array_equal(open_prediction(torn)[:], STORED)


def test_bfloat16(tmp_path):
    uri = tmp_path / "o.zarr"
    write_all(begun(uri, dtype="bfloat16"))
    found = open_prediction(uri)
    assert found.dtype.name == "bfloat16"
    rounded = STORED.astype(found.dtype)
    np.testing.assert_array_equal(found[:].view(np.uint16), rounded.view(np.uint16))
    assert json.loads((uri / "0" / "zarr.json").read_text())["data_type"] == "bfloat16"
    with pytest.raises(ValueError, match="Zarr v2"):
        begun(tmp_path / "v2.zarr", 2, dtype="bfloat16")
    with pytest.raises(ValueError, match="'quarter'"):
        begun(tmp_path / "no.zarr", dtype="quarter")


def test_bfloat16_is_what_others_mean_by_it(tmp_path):
    tensorstore = pytest.importorskip("tensorstore")
    write_all(begun(tmp_path / "o.zarr", dtype="bfloat16"))
    spec: Any = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(Path(tmp_path / "o.zarr" / "0"))}}
    read = tensorstore.open(spec).result().read().result()
    np.testing.assert_array_equal(read.astype(np.float32), STORED.astype(read.dtype).astype(np.float32))
    bfloat16.register()
    spec["kvstore"]["path"] = str(tmp_path / "theirs")
    theirs = tensorstore.open(spec, create=True, dtype=tensorstore.bfloat16, shape=STORED.shape).result()
    theirs[...] = STORED.astype(read.dtype)
    assert open_source(tmp_path / "theirs", axes="tczyx").dtype == read.dtype


@pytest.mark.parametrize(
    ("options", "say"),
    [
        ({"path": 5}, "`target`"),
        ({"path": ""}, "`target`"),
        ({"zarr_format": 4}, "`zarr_format`"),
        ({"zarr_format": "3"}, "`zarr_format`"),
        ({"storage_options": {"x": 1}}, "`storage_options`: expected none beside a path"),
        ({"storage_options": [1]}, "`storage_options`: expected a dictionary"),
        ({"dtype": "quarter"}, "`dtype`.*'quarter'"),
    ],
)
def test_targets_that_cannot_be_are_refused(options, say):
    unchecked = getattr(new_target, "__wrapped__", new_target)  # as users call it: without the tests' types
    with pytest.raises(ValueError, match=say) as refusal:
        unchecked(**{"path": "o.zarr", **options})
    assert "\n" not in str(refusal.value)


def test_storage_options_reach_the_file_system_and_are_not_shown(monkeypatch):
    uri, options, seen = f"memory://{uuid.uuid4().hex}/o.zarr", {"token": "secret"}, set()
    original = MemoryFileSystem.__init__

    def watched(self, **arguments):
        seen.add(arguments.get("token"))
        original(self, **arguments)

    monkeypatch.setattr(MemoryFileSystem, "__init__", watched)
    write_all(begun(uri, storage_options=options))
    new = new_target(uri, storage_options=options)
    np.testing.assert_array_equal(open_prediction(new)[:], STORED)
    source = open_source(uri, storage_options=options)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.array[:], STORED)
    assert seen == {"secret"}
    assert "secret" not in repr(new) + repr(source)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_targets_of_an_earlier_format_are_refused(zarr_format, tmp_path):
    """As version 1 left them: the arrays and the journal are right, but nobody knows what the digests meant."""
    begun(tmp_path / "o.zarr", zarr_format)
    group = zarr.open_group(tmp_path / "o.zarr", mode="r+")
    earlier: Any = {"format": 1, "net": "a", "target": {"": {"axes": "tczyx"}}}
    group.attrs["shiftjax"] = earlier
    with pytest.raises(VolumeError, match="made with another version of shiftjax; choose another target, or remove it"):
        begun(tmp_path / "o.zarr", zarr_format)
    assert zarr.open_group(tmp_path / "o.zarr", mode="r").attrs["shiftjax"] == earlier


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_two_processes_that_begin_at_once(zarr_format, place, tmp_path, monkeypatch):
    """One looks, the other makes the group, and the first makes it too: it finds the other's identity, and keeps it."""
    uri = str(tmp_path / "o.zarr") if place == "disk" else f"memory://{uuid.uuid4().hex}/o.zarr"
    create = binding._create_group

    def late(folder, chosen_format, attributes):
        with monkeypatch.context() as undone:
            undone.setattr(binding, "_create_group", create)
            begun(uri, zarr_format, provenance={"format": 2, "net": "first"})
        return create(folder, chosen_format, attributes)

    monkeypatch.setattr(binding, "_create_group", late)
    with pytest.raises(VolumeError, match="made with another net"):
        begun(uri, zarr_format)
    assert begun(uri, zarr_format, provenance={"format": 2, "net": "first"}).arrays[""].shape == (2, 3, 4, 5, 6)
