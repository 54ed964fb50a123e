"""Labels lie where viewers look for them: over the image, listed, in either format; and nothing else is touched."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import zarr

from proofs_tests.volume.code_volumes import (
    embedded,
    in_memory,
    segmented,
    smooth_codes,
)
from shiftjax.volume import VolumeError, new_target
from shiftjax.volume._targets import label_image
from shiftjax.volume._targets.pyramid import Pyramid


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_viewers_find_the_labels_over_the_image(zarr_format, tmp_path):
    """The way a viewer goes: the group's list of labels, their multiscales, the array; scale as the image's."""
    codes, uri = smooth_codes((12, 14)), tmp_path / "image.zarr"
    axes = [{"name": "c", "type": "channel"}] + [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    steps = [{"type": "scale", "scale": [1, 0.5, 0.25]}, {"type": "translation", "translation": [0, 3, 4]}]
    image: Any = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}], "name": "e"}
    described: Any = {"multiscales": [{"version": "0.4", **image}]}
    if zarr_format == 3:
        described = {"ome": {"version": "0.5", "multiscales": [image]}}
    group = zarr.create_group(str(uri), zarr_format=zarr_format, attributes=described)
    group.create_array("0", data=np.moveaxis(embedded(codes), -1, 0), chunks=(2, 5, 5))
    for name in ("cells", "nuclei"):
        segmented(codes, (5, 5), uri, source=uri, axes=None, name=name)
    segmented(codes, (5, 5), uri, source=uri, axes=None, name="cells")

    ome = lambda node: node.attrs["ome"] if zarr_format == 3 else node.attrs  # noqa: E731
    assert dict(zarr.open_group(str(uri)).attrs) == described
    assert list(ome(zarr.open_group(str(uri / "labels")))["labels"]) == ["cells", "nuclei"]
    labels: Any = zarr.open_group(str(uri / "labels" / "cells"), mode="r")
    assert labels.metadata.zarr_format == zarr_format
    assert ome(labels)["image-label"]["source"] == {"image": "../../"}
    found = ome(labels)["multiscales"][0]
    assert found["name"] == "cells"
    assert found["axes"] == axes[1:]
    expected = [{"type": "scale", "scale": [0.5, 0.25]}, {"type": "translation", "translation": [3, 4]}]
    assert found["datasets"] == [{"path": "0", "coordinateTransformations": expected}]
    array = labels[found["datasets"][0]["path"]]
    np.testing.assert_array_equal(array[:], in_memory(codes[None])[0])
    assert np.issubdtype(array.dtype, np.unsignedinteger)


def test_labels_that_cannot_be_listed_are_an_error_in_words(tmp_path, monkeypatch):
    """And the same call goes on once they can."""
    codes, listed = smooth_codes((8, 8)), label_image._list

    def broken(*arguments):
        raise OSError(5, "EIO")

    monkeypatch.setattr(label_image, "_list", broken)
    with pytest.raises(VolumeError, match=r"cannot list the labels .*EIO"):
        segmented(codes, (5, 5), tmp_path / "t")
    monkeypatch.setattr(label_image, "_list", listed)
    assert segmented(codes, (5, 5), tmp_path / "t").objects == in_memory(codes[None]).max() > 0


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_that_others_list_at_the_same_moment(zarr_format, tmp_path, monkeypatch):
    """Each writes the whole list, and may know nothing of the other: who ends last lists both."""
    codes, uri = smooth_codes((8, 8)), new_target(tmp_path / "t", zarr_format=zarr_format)
    segmented(codes, (5, 5), uri, name="first")

    def list_of():
        attributes: Any = zarr.open_group(tmp_path / "t" / "labels").attrs.asdict()
        return (attributes["ome"] if zarr_format == 3 else attributes)["labels"]

    def overwrite(names):
        stale: Any = {"labels": names}
        zarr.open_group(tmp_path / "t" / "labels").attrs.update({"ome": stale} if zarr_format == 3 else stale)

    def overwrites(self, **options):
        assert list_of() == ["first", "second"]
        overwrite(["first"])

    with monkeypatch.context() as patched:
        patched.setattr(Pyramid, "write", overwrites)
        segmented(codes, (5, 5), uri, name="second")
    assert list_of() == ["first", "second"]
    zarr.create_group(tmp_path / "t" / "labels" / "of somebody", zarr_format=zarr_format)
    (tmp_path / "t" / "labels" / "notes").write_text("")
    overwrite([])
    segmented(codes, (5, 5), uri, name="second")
    assert list_of() == ["second", "first"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_list_of_labels_is_on_the_disk_before_it_takes_its_place(zarr_format, tmp_path, monkeypatch):
    """An outage that emptied it would take all labels of the image along."""
    synced, real, replace, in_place = set(), os.fsync, os.replace, []
    named = str(tmp_path / "t" / "labels" / ("zarr.json" if zarr_format == 3 else ".zattrs"))

    def fsync(handle):
        synced.add(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    def watched(draft, path):
        if str(path) == named:
            in_place.append(str(draft) in synced)
        replace(draft, path)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", watched)
    segmented(smooth_codes((8, 8)), (5, 5), new_target(tmp_path / "t", zarr_format=zarr_format))
    assert in_place == [True]
    zarr.open_group(tmp_path / "t" / "labels").attrs.update({"a": 1})
    assert in_place == [True, False]  # control: zarr does not see to it


@pytest.mark.parametrize("labels", [3, None, "abc", {"a": 1}])
def test_a_list_of_labels_that_is_none_is_refused(labels, tmp_path):
    zarr.create_group(tmp_path / "t").create_group("labels").attrs["ome"] = {"labels": labels}
    with pytest.raises(VolumeError, match="expected a list of names as `labels`"):
        segmented(smooth_codes((8, 8)), (5, 5), tmp_path / "t")
    assert zarr.open_group(tmp_path / "t" / "labels").attrs["ome"] == {"labels": labels}


def test_a_target_that_is_no_group_is_refused(tmp_path):
    codes = smooth_codes((8, 8))
    zarr.create_array(str(tmp_path / "array.zarr"), data=np.zeros(3))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    for name in ("array.zarr", "file", "folder"):
        with pytest.raises(VolumeError, match="not a Zarr group"):
            segmented(codes, (5, 5), tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert segmented(codes, (5, 5), tmp_path / "empty").objects == in_memory(codes[None]).max()


@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_readers_of_consolidated_metadata_find_the_labels(zarr_format, tmp_path):
    codes, uri = smooth_codes((8, 8)), tmp_path / "image.zarr"
    zarr.create_group(uri, zarr_format=zarr_format).create_array("0", data=codes)
    zarr.consolidate_metadata(uri)
    for name in ("cells", "nuclei"):
        made = segmented(codes, (5, 5), new_target(uri, levels=2), name=name)
        seen: Any = zarr.open_group(uri, mode="r")
        assert seen.metadata.consolidated_metadata is not None
        np.testing.assert_array_equal(seen[f"labels/{name}/0"][:], made.labels[:])
    described: Any = zarr.open_group(uri, mode="r", use_consolidated=False)["labels/nuclei"].attrs.asdict()
    assert seen["labels/nuclei"].attrs.asdict() == described  # all levels, of which the second came later
    assert len((described["ome"] if zarr_format == 3 else described)["multiscales"][0]["datasets"]) == 2
    segmented(codes, (5, 5), new_target(tmp_path / "plain.zarr", zarr_format=zarr_format))
    assert zarr.open_group(tmp_path / "plain.zarr").metadata.consolidated_metadata is None
