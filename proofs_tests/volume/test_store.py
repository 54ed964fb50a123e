"""Sources and targets: every layout is seen as the same images, and no two tiles share a chunk."""

from __future__ import annotations

import json
import pickle
import uuid
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from fsspec.core import url_to_fs
from hypothesis import given
from hypothesis import strategies as st

from shiftjax.volume import VolumeError, open_prediction, open_source
from shiftjax.volume._storage import axes, bfloat16, target
from shiftjax.volume._storage.target import begin_target, layout, open_target

IDENTITY = {"format": 1, "net": "a"}
STORED = np.random.default_rng(0).integers(0, 99, (2, 3, 4, 5, 6)).astype(np.int16)  # t, c, z, y, x


def ome(path, array, names, zarr_format, scales, **more):
    """An OME-Zarr image written by hand, one level per scale."""
    group = zarr.create_group(path, zarr_format=zarr_format)
    kinds = {"t": "time", "c": "channel"}
    described = [{"name": n, "type": kinds.get(n, "space"), "unit": "second" if n == "t" else "nm"} for n in names]
    steps = [[{"type": "scale", "scale": scale}] for scale in scales]
    for level in range(len(scales)):
        group.create_array(str(level), data=array[..., :: 2**level, :: 2**level])
    datasets = [{"path": str(k), "coordinateTransformations": step} for k, step in enumerate(steps)]
    image = {"axes": described, "datasets": datasets, **more}
    group.attrs.update({"ome": {"multiscales": [image]}} if zarr_format == 3 else {"multiscales": [image]})
    return str(path)


@pytest.mark.parametrize("order", ["tczyx", "xyzct", "ztxcy", "cyx", "yxc", "xz", "tyx", "zyx"])
def test_axes_in_any_order(order):
    kept = tuple(slice(None) if name in order else 0 for name in "tczyx")
    canonical = STORED[kept]
    left = [name for name in "tczyx" if name in order]
    stored = canonical.transpose([left.index(name) for name in order])
    source = open_source(stored, order)
    space = [name for name in "zyx" if name in order]
    assert source.space == tuple(STORED.shape["tczyx".index(name)] for name in space)
    for time in range(source.times):
        cut = tuple(slice(1, n) for n in source.space)
        found = source.at(time)(cut)
        seen = canonical[time] if "t" in order else canonical
        seen = np.moveaxis(seen, 0, -1) if "c" in order else seen[..., None]
        np.testing.assert_array_equal(found, seen[cut][None])


@pytest.mark.parametrize("order", ["".join(p) for p in permutations("tczy")])
def test_axes_back(order):
    image = np.arange(2 * 3 * 4).reshape(1, 2, 3, 4)
    block = axes.from_image(image, order)
    assert block.shape == tuple({"t": 1, "z": 2, "y": 3, "c": 4}[name] for name in order)
    np.testing.assert_array_equal(axes.to_image(block.squeeze(order.index("t")), order.replace("t", "")), image)


@pytest.mark.parametrize(
    ("shape", "order", "say"),
    [((4, 5), "zyx", "each of the source's 2 axes"), ((4, 5), "tc", "at least one"), ((4, 5), "yy", "'yy'"),
     ((4, 5), "yq", "'yq'"), ((2, 3, 4, 5), None, "'czyx'")],
)  # fmt: skip
def test_bad_axes_are_refused(shape, order, say):
    with pytest.raises(ValueError, match=say) as refusal:
        open_source(np.zeros(shape), order)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_zarr_arrays(zarr_format, place, tmp_path):
    uri = str(tmp_path / "a.zarr") if place == "disk" else f"memory://{uuid.uuid4().hex}/a.zarr"
    zarr.create_array(uri, data=STORED[0, 0], chunks=(2, 3, 4), zarr_format=zarr_format)
    for source in (open_source(uri), open_source(zarr.open_array(uri, mode="r"))):
        assert source.zarr_format == zarr_format
        np.testing.assert_array_equal(
            source.at(0)((slice(0, 4), slice(1, 5), slice(0, 6)))[0, ..., 0], STORED[0, 0, :, 1:]
        )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_ome_zarr(zarr_format, tmp_path):
    scales = [[1.0, 1, 4, 2, 3], [1.0, 1, 4, 4, 6]]
    whole = [{"type": "scale", "scale": [0.5, 1, 1, 1, 1]}, {"type": "translation", "translation": [0, 0, 7, 0, 0]}]
    uri = ome(tmp_path / "a.zarr", STORED, "tczyx", zarr_format, scales, coordinateTransformations=whole)
    source = open_source(uri)
    assert (source.axes, source.space, source.times, source.channels) == ("tczyx", (4, 5, 6), 2, 3)
    assert source.geometry.scale == {"t": 0.5, "c": 1, "z": 4, "y": 2, "x": 3}
    assert source.geometry.translation == {"t": 0, "c": 0, "z": 7, "y": 0, "x": 0}
    assert source.geometry.units["z"] == "nm"
    coarse = open_source(uri, level=1)
    assert coarse.space == (4, 3, 3)
    assert coarse.geometry.scale["x"] == 6
    again = pickle.loads(pickle.dumps(coarse))
    assert (again.space, again.geometry) == (coarse.space, coarse.geometry)
    with pytest.raises(ValueError, match="as the source's metadata say"):
        open_source(uri, "tczxy")
    with pytest.raises(ValueError, match="`level`"):
        open_source(uri, level=2)


def test_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STORED[0, 0].astype(np.uint16), photometric="minisblack")
    with pytest.raises(ValueError, match=r"'qyx'.*axes='zyx'"):
        open_source(tmp_path / "a.tif")  # it names its first axis by no letter of ours
    source = open_source(tmp_path / "a.tif", "zyx")
    found = source.at(0)((slice(0, 4), slice(0, 5), slice(0, 6)))
    np.testing.assert_array_equal(found[0, ..., 0], STORED[0, 0])
    source.array.store.close()  # or the file stays open until the process ends


def test_axes_and_pixel_sizes_of_tiff(tmp_path):
    stack, ome_name = STORED[0].astype(np.uint16), tmp_path / "b.ome.tif"
    named = {"axes": "TYX", "spacing": 2.5, "unit": "um", "finterval": 3.0}
    tifffile.imwrite(tmp_path / "a.tif", stack[0], imagej=True, resolution=(10.0, 5.0), metadata=named)
    tifffile.imwrite(ome_name, stack, metadata={"axes": "CZYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "nm"})
    films, image = open_source(tmp_path / "a.tif"), open_source(ome_name)
    assert (films.axes, films.times, films.space) == ("tyx", 4, (5, 6))
    assert {name: films.geometry.scale[name] for name in "tyx"} == {"t": 3.0, "y": 0.2, "x": 0.1}
    assert (films.geometry.units["x"], films.geometry.units["t"]) == ("micrometer", "second")
    assert (image.axes, image.channels, image.space) == ("czyx", 3, (4, 5, 6))
    assert (image.geometry.scale, image.geometry.units) == ({"x": 0.25}, {"x": "nanometer"})
    np.testing.assert_array_equal(image.at(0)((slice(0, 4),) * 3)[0], np.moveaxis(stack, 0, -1)[:4, :4, :4])
    other = open_source(tmp_path / "a.tif", "zyx")  # what is asked for goes first, without sizes that belong elsewhere
    assert (other.axes, other.geometry.scale) == ("zyx", {})
    with pytest.raises(ValueError, match="`level`"):
        open_source(ome_name, level=1)
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(ValueError, match="'yxs'"):
        open_source(tmp_path / "c.tif")
    for opened in (films, image, other):
        opened.array.store.close()


@pytest.mark.parametrize("stored", [">u2", "<u2", ">f4", ">f8"])
def test_pixels_are_in_the_byte_order_of_the_machine(stored):
    source = open_source(STORED[0, 0].astype(stored))
    found = source.at(0)((slice(0, 4), slice(0, 5), slice(0, 6)))
    assert source.dtype.isnative
    assert found.dtype.isnative
    assert found.dtype == source.dtype == np.dtype(stored).newbyteorder("=")
    np.testing.assert_array_equal(found[0, ..., 0], STORED[0, 0])


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


def test_images_in_a_group_are_named(tmp_path):
    group = zarr.create_group(tmp_path / "g.zarr")
    group.create_group("notes")
    with pytest.raises(ValueError, match="groups notes"):
        open_source(tmp_path / "g.zarr")
    ome(tmp_path / "g.zarr" / "first", STORED, "tczyx", 3, [[1] * 5])
    ome(tmp_path / "g.zarr" / "second", STORED, "tczyx", 3, [[1] * 5])
    with pytest.raises(ValueError, match="images first, second"):
        open_source(tmp_path / "g.zarr")


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


def test_what_is_no_image_is_refused(tmp_path):
    zarr.create_group(tmp_path / "g.zarr").create_array("raw", data=STORED[0, 0])
    for source, say in ((tmp_path / "none.zarr", "none at"), (tmp_path / "g.zarr", "arrays raw"), (3, "found int")):
        with pytest.raises(ValueError, match=say) as refusal:
            open_source(source)
        assert "\n" not in str(refusal.value)
    np.testing.assert_array_equal(open_source(tmp_path / "g.zarr" / "raw").array[:], STORED[0, 0])


@given(
    tile=st.lists(st.integers(1, 400), min_size=1, max_size=3),
    width=st.sampled_from([1, 2, 4, 64, 1000]),
)
def test_no_two_tiles_share_a_chunk(tile, width):
    chunk = target._chunk(tile, width)
    assert all(t % c == 0 for t, c in zip(tile, chunk, strict=True))
    small = np.prod(chunk) * width <= target.CHUNK_BYTES
    assert small or all(chunk[int(np.argmax(chunk))] % factor for factor in (2, 3, 5, 7))


def test_control_other_chunks_are_shared():
    """A chunk of 3 under tiles of 4: chunk 1 belongs to tiles 0 and 1."""
    owners = {chunk: {pixel // 4 for pixel in range(chunk * 3, chunk * 3 + 3)} for chunk in range(8)}
    assert any(len(tiles) > 1 for tiles in owners.values())
    cut = target._chunk([4], 2**21)[0]
    assert all(len({pixel // 4 for pixel in range(c * cut, (c + 1) * cut)}) == 1 for c in range(8))


def begun(uri, zarr_format=3, dtype="int16", **options):
    source = open_source(STORED, "tczyx")
    described = layout(source, (2, 4, 3), channels=3, dtype=dtype)
    return begin_target(uri, {"": described}, **{"identity": IDENTITY, "zarr_format": zarr_format, **options})


def write_all(into):
    for time in range(2):
        for z, y, x in np.ndindex(2, 2, 2):
            cut = (slice(2 * z, 2 * z + 2), slice(4 * y, min(5, 4 * y + 4)), slice(3 * x, 3 * x + 3))
            tile = np.zeros((1, 2, 4, 3, 3), np.int16)
            kept = np.moveaxis(STORED[time][:, cut[0], cut[1], cut[2]], 0, -1)
            tile[:, :, : kept.shape[1]] = kept
            into.write(cut, {"": tile}, time=time)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_targets_are_ome_zarr(zarr_format, tmp_path):
    uri = tmp_path / "o.zarr"
    write_all(begun(uri, zarr_format))
    group = zarr.open_group(uri, mode="r")
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
        ({"identity": {"format": 1, "net": "b"}}, "another net;"),
        ({"identity": {"format": 2, "net": "a"}}, "version"),
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
    with pytest.raises(VolumeError, match="no target of shiftjax"):
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
        write_all(begun(torn, zarr_format))
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
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(Path(tmp_path / "o.zarr" / "0"))}}
    read = tensorstore.open(spec).result().read().result()
    np.testing.assert_array_equal(read.astype(np.float32), STORED.astype(read.dtype).astype(np.float32))
    bfloat16.register()
    spec["kvstore"]["path"] = str(tmp_path / "theirs")
    theirs = tensorstore.open(spec, create=True, dtype=tensorstore.bfloat16, shape=STORED.shape).result()
    theirs[...] = STORED.astype(read.dtype)
    assert open_source(tmp_path / "theirs", "tczyx").dtype == read.dtype


def test_unwritten_chunks_are_the_fill_value(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", shape=(4, 4), chunks=(2, 2), dtype="int16", fill_value=7)[:2, :2] = 1
    found = open_source(tmp_path / "a.zarr").at(0)((slice(0, 4), slice(0, 4)))[0, ..., 0]
    np.testing.assert_array_equal(found, np.pad(np.ones((2, 2)), (0, 2), constant_values=7))
