"""What metadata say is taken as they say it, or refused in one sentence: never a traceback, never another axis."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import settings

import shiftjax as sj
from proofs_tests.support.bad_calls import sentence_faults
from shiftjax.volume import VolumeError, open_source, predict_volume
from shiftjax.volume._sources import ome_zarr as ome

SHAPE = (2, 3, 4)
AXES: Any = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
GOOD: Any = {
    "axes": AXES,
    "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [3.0, 0.5, 0.25]}]}],
    "name": "image",
}
WRONG: tuple[Any, ...] = (
    None, True, 3, -1.5, 10**400, "", "abc", "/etc/passwd", "../../0", [], {}, [None], [1, 2], ["a", "b", "c"],
    [0, 1, 1], [float("nan")] * 3, {"a": 1}, [{"type": "scale"}], [{"type": "rotation", "rotation": []}], [[[[]]]],
)  # fmt: skip


def image(path, described, *, zarr_format=3, shape=SHAPE):
    """A group with one array, whatever its metadata say."""
    group = zarr.create_group(str(path), zarr_format=zarr_format)
    group.create_array("0", data=np.arange(np.prod(shape)).reshape(shape).astype(np.uint8))
    group.attrs.update(described)
    return str(path)


def places(node: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every entry of a nested structure, as the keys that lead to it."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [above, *(place for key, value in inner for place in places(value, (*above, key)))]


def changed(described: Any, place: tuple[Any, ...], value: Any) -> Any:
    """The structure with an entry replaced; with one removed where the value is `places`."""
    result = copy.deepcopy({"": described})
    node, (*way, last) = result, ("", *place)
    for key in way:
        node = node[key]
    if value is places:
        del node[last]
    else:
        node[last] = value
    return result.get("")


def test_hostile_metadata_are_taken_or_refused_in_one_sentence(tmp_path):
    deep = settings.get_current_profile_name() == "deep"
    rng, faults, taken = np.random.default_rng(0), [], 0
    described = {"ome": {"version": "0.5", "multiscales": [GOOD]}}
    group = image(tmp_path / "image", described)
    node, where = zarr.open_group(group, mode="r+"), places(described)
    for _ in range(3000 if deep else 200):
        place = where[rng.integers(len(where))]
        value = (*WRONG, places)[rng.integers(len(WRONG) + 1)]
        if not place:
            continue
        hostile = changed(described, place, value)
        node.attrs.put(hostile if isinstance(hostile, dict) else {"ome": hostile})
        try:
            source = open_source(group)
            taken += 1
            # What is taken is the image: nothing but its sizes and names may have been changed.
            assert source.space == SHAPE, (place, value)
            assert all(np.isfinite(size) and size > 0 for size in source.geometry.scale.values()), (place, value)
        except (ValueError, VolumeError) as error:
            fault = sentence_faults(error)
            faults += [f"{place} = {value!r}: {fault}"] if fault else []
        except Exception as error:
            faults.append(f"{place} = {value!r}: {type(error).__name__}: {error}")
    assert faults == []
    assert taken > 10


def test_control_a_sentence_that_is_none_is_seen():
    assert sentence_faults(ValueError("zip() argument 2 is shorter than argument 1"))


@pytest.mark.parametrize("text", ["", "null", "[]", "3", "{", "[" * 100_000, '{"zarr_format": 9}'])
def test_files_that_are_no_metadata(text, tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text(text)
    with pytest.raises(ValueError, match=r"^`source`: expected .* found none at") as refusal:
        open_source(tmp_path / "a.zarr")
    assert not sentence_faults(refusal.value)


@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3", "0.7", "0.45", "1.0", 3])
def test_other_versions_are_refused_by_their_name(version, tmp_path):
    uri = image(tmp_path / "a", {"multiscales": [{**GOOD, "version": version}]}, zarr_format=2)
    with pytest.raises(ValueError, match=rf"OME-Zarr 0.4, 0.5 or 0.6, found version {version!r}"):
        open_source(uri)
    assert open_source(f"{uri}/0", axes="zyx").space == SHAPE  # as the advice says


@pytest.mark.parametrize("version", ["0.4", "0.5", None])
def test_versions_that_are_read(version, tmp_path):
    said = {} if version is None else {"version": version}
    described = {"multiscales": [{**GOOD, **said}]} if version == "0.4" else {"ome": {**said, "multiscales": [GOOD]}}
    source = open_source(image(tmp_path / "a", described))
    assert (source.axes, source.geometry.scale["z"], source.assumed) == ("zyx", 3.0, False)


@pytest.mark.parametrize("output", ["physical", {"name": "physical"}])
def test_coordinate_systems(output, tmp_path):
    """OME-Zarr 0.6 names axes in coordinate systems; levels are mapped to one of them."""
    other = {"name": "other", "axes": [{"name": n} for n in "xyz"]}
    named = {"name": "physical", "axes": [{"name": "t", "type": "time"}, *AXES[1:]]}
    steps = [{"type": "scale", "scale": [2.0, 0.5, 0.25]}, {"type": "translation", "translation": [0, 1, 2]}]
    way = [{"type": "sequence", "transformations": steps, "input": "0", "output": output}]
    described = {"coordinateSystems": [other, named], "datasets": [{"path": "0", "coordinateTransformations": way}]}
    source = open_source(image(tmp_path / "a", {"ome": {"version": "0.6.dev1", "multiscales": [described]}}))
    assert (source.axes, source.times, source.space) == ("tyx", 2, (3, 4))
    assert source.geometry.scale == {"t": 2.0, "y": 0.5, "x": 0.25}
    assert source.geometry.translation == {"t": 0.0, "y": 1.0, "x": 2.0}


@pytest.mark.parametrize(
    ("names", "axes"),
    [
        (["t", "y", "x"], "tyx"),
        (["Channel", "Y", "X"], "cyx"),
        (["x", "y", "z"], "xyz"),
        (["time", "height", "width"], "tyx"),
    ],
)
@pytest.mark.parametrize("kind", ["dimension_names", "_ARRAY_DIMENSIONS", "dims"])
def test_names_of_arrays(names, axes, kind, tmp_path):
    data = np.zeros(SHAPE, np.uint8)
    if kind == "dims":

        class Named:
            """Like an array of xarray."""

            shape, dtype, dims = data.shape, data.dtype, tuple(names)

            def __getitem__(self, index):
                return data[index]

        source = open_source(Named())
    else:
        options: Any = {"dimension_names": names} if kind == "dimension_names" else {"zarr_format": 2}
        array = zarr.create_array(str(tmp_path / "a"), data=data, **options)
        if kind == "_ARRAY_DIMENSIONS":
            array.attrs[kind] = names
        source = open_source(tmp_path / "a")
    assert (source.axes, source.assumed) == (axes, False)


def test_names_that_mean_nothing_here_are_asked_for(tmp_path):
    zarr.create_array(str(tmp_path / "a"), data=np.zeros(SHAPE), dimension_names=["angle", "y", "x"])
    say = r"\['angle', 'y', 'x'\].*axes='zyx' for planes of a stack, or axes='tyx' for time points"
    with pytest.raises(ValueError, match=say):
        open_source(tmp_path / "a")
    assert open_source(tmp_path / "a", axes="tyx").times == 2
    zarr.create_array(str(tmp_path / "b"), data=np.zeros((1, 3, 4)), dimension_names=["angle", "y", "x"])
    assert open_source(tmp_path / "b").space == (3, 4)  # a single angle needs no name


def test_an_array_within_an_image_has_its_axes(tmp_path):
    """Opened by its own path, or as an object: the image around it names its axes and gives its pixel sizes."""
    uri = image(
        tmp_path / "a", {"ome": {"multiscales": [{**GOOD, "axes": [{"name": "t", "type": "time"}, *AXES[1:]]}]}}
    )
    for given in (f"{uri}/0", zarr.open_group(uri)["0"], zarr.open_array(f"{uri}/0")):
        source = open_source(given)
        assert (source.axes, source.times, source.geometry.scale["y"]) == ("tyx", 2, 0.5)
    assert open_source(f"{uri}/0", axes="zyx").geometry == ome.Geometry()  # of an array one may say otherwise
    with pytest.raises(ValueError, match="as the source's metadata say"):
        open_source(uri, axes="zyx")  # not of an image, whose pixel sizes hang on it


def test_axes_that_are_assumed_are_said(tmp_path, capfd):
    """In the first line that is printed, and in the target's metadata; of what is read from that target too."""
    data = np.arange(24, dtype=np.float32).reshape(SHAPE)
    plan = sj.plan_tiles(lambda x: x * 1.0, (1, *SHAPE, 1), tile=2)
    predict_volume(lambda x: x * 1.0, data, tmp_path / "assumed", plan)
    first = capfd.readouterr().err.splitlines()[0]
    assert "axes zyx are assumed" in first
    assert metadata(tmp_path / "assumed") == {"assumed axes": "zyx"}
    assert open_source(tmp_path / "assumed").assumed
    predict_volume(lambda x: x * 1.0, data, tmp_path / "named", plan, axes="zyx")
    assert "assumed" not in capfd.readouterr().err
    assert metadata(tmp_path / "named") is None
    assert not open_source(tmp_path / "named").assumed


def metadata(target):
    """Remarks in the metadata of a target."""
    described = json.loads((target / "zarr.json").read_text())["attributes"]["ome"]
    return described["multiscales"][0].get("metadata")
