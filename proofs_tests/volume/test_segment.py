"""Objects of a volume, segmented tile by tile from storage to storage, are those of the whole in memory."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import shiftjax as sj
from proofs_tests.support.profiles import fewer
from proofs_tests.volume.code_volumes import in_memory, spiral, tilings, u_shape
from shiftjax.volume._predict import predict_volume
from shiftjax.volume._segmentation import merge as merging
from shiftjax.volume._segmentation import passes, segment
from shiftjax.volume._segmentation.embedding import Recompute
from shiftjax.volume._segmentation.segment import segment_volume
from shiftjax.volume._storage.errors import VolumeError

KEY = jax.random.key(0)
SAMPLES = 150  # everywhere alike, so that mean shift is compiled once
CODEBOOK = np.array([[0, 0], [4, 0], [0, 4], [4, 4]], np.float32)


def plan_for(shape, tile):
    return sj.plan_tiles(lambda x: x, (1, *shape, 1), tile=tile)


def embedded(codes, *, seed=0, noise=0.3):
    """An embedding `(*shape, 2)` that has the given codes; background lies at the first code."""
    rng = np.random.default_rng(seed)
    return (CODEBOOK[codes.clip(0)] + rng.uniform(-noise, noise, (*codes.shape, 2))).astype(np.float32)


def segmented(codes, tile, target, **options):
    """Segments codes `(*space)` that are stored as an embedding, with the known codebook."""
    options = {
        "axes": "zyx"[-codes.ndim :] + "c",
        "foreground": codes >= 0,
        "codebook": CODEBOOK,
        "key": KEY,
        **options,
    }
    source = options.pop("source", embedded(codes))
    return segment_volume(source, target, plan_for(codes.shape, tile), bandwidth=1, progress=False, **options)


def smooth_codes(shape, *, seed=0, codes=3):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return np.digitize(field, np.quantile(field, np.linspace(0.3, 1, codes + 1)[:-1])).astype(np.int32) - 1


@pytest.fixture
def undisturbed(tmp_path):
    """Codes, their tiles and their labels."""
    codes = smooth_codes((20, 23))
    return codes, (6, 8), np.asarray(segmented(codes, (6, 8), tmp_path / "undisturbed.zarr", min_size=3).labels)


@fewer
@given(tilings(sizes=(20, 10, 6), least=3), st.integers(0, 5))
def test_labels_are_those_of_the_whole(tmp_path_factory, case, min_size):
    codes, tile = case
    space = "zyx"[-(codes.ndim - 1) :]
    target = tmp_path_factory.mktemp("labels") / "out.zarr"
    options = {"axes": f"t{space}c", "foreground": codes >= 0, "min_size": min_size, "codebook": CODEBOOK}
    plan = plan_for(codes.shape[1:], tile)
    found = segment_volume(embedded(codes), target, plan, bandwidth=1, key=KEY, progress=False, **options)
    expected = in_memory(codes, min_size=min_size)
    np.testing.assert_array_equal(np.asarray(found.labels), expected)
    assert found.objects == expected.max()
    assert found.labels.dtype == np.uint64


@pytest.mark.parametrize("codes", [spiral(13), u_shape(), np.stack([u_shape()] * 4)])
def test_objects_that_touch_several_tiles(codes, tmp_path):
    found = segmented(codes, (3,) * codes.ndim, tmp_path / "out.zarr")
    np.testing.assert_array_equal(np.asarray(found.labels), in_memory(codes[None])[0])


def test_control_objects_are_cut_where_faces_are_not_merged(tmp_path, monkeypatch):
    monkeypatch.setattr(merging, "_meetings", lambda *faces: np.zeros((0, 2), np.int64))
    assert segmented(spiral(13), (3, 3), tmp_path / "out.zarr").objects > 1


def test_control_objects_run_together_where_codes_are_not_compared(tmp_path, monkeypatch):
    right = merging._meetings
    blind = lambda high, a, low, b: right(high, 0 * a, low, 0 * b)  # noqa: E731
    codes = smooth_codes((20, 23))
    assert segmented(codes, (6, 8), tmp_path / "right.zarr").objects == in_memory(codes[None]).max()
    monkeypatch.setattr(merging, "_meetings", blind)
    assert segmented(codes, (6, 8), tmp_path / "out.zarr").objects < in_memory(codes[None]).max()


def nearest_in_numpy(embedding, codes):
    return np.square(embedding[..., None, :].astype(np.float64) - codes).sum(-1).argmin(-1)


def test_the_codebook_is_found_once_for_the_volume_and_does_not_depend_on_its_tiles(tmp_path):
    codes = smooth_codes((24, 30))
    embedding = np.concatenate([(codes >= 0)[..., None], embedded(codes)], -1).astype(np.float32)
    options = {"axes": "yxc", "foreground": lambda y: y[..., 0] > 0.5, "channels": slice(1, None), "samples": SAMPLES}
    runs = {}
    for tile in ((24, 30), (7, 9)):
        runs[tile] = segment_volume(
            embedding,
            tmp_path / f"{tile}.zarr",
            plan_for(codes.shape, tile),
            bandwidth=1,
            key=KEY,
            progress=False,
            **options,
        )
    whole = runs[24, 30]
    assert whole.codes.shape == (3, 2)
    expected = in_memory(np.where(codes >= 0, nearest_in_numpy(embedding[..., 1:], whole.codes), -1)[None])[0]
    for run in runs.values():
        np.testing.assert_array_equal(run.codes, whole.codes)
        np.testing.assert_array_equal(np.asarray(run.labels), expected)
    np.testing.assert_array_equal(expected, in_memory(codes[None])[0])


def test_one_codebook_for_all_time_points(tmp_path):
    """The third code appears in the second time point only; ids run on."""
    codes = np.stack([smooth_codes((12, 12), codes=2), smooth_codes((12, 12), codes=3, seed=1)])
    options = {"axes": "tyxc", "foreground": codes >= 0, "samples": SAMPLES}
    plan = plan_for(codes.shape[1:], (5, 7))
    found = segment_volume(
        embedded(codes), tmp_path / "out.zarr", plan, bandwidth=1, key=KEY, progress=False, **options
    )
    assert len(found.codes) == 3
    np.testing.assert_array_equal(np.asarray(found.labels), in_memory(codes))


def small_net(image):
    """Valid, period 2, two channels: a convolution, pooling, and an upsampling that tells the two phases apart."""
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 1, 2)), jnp.float32)
    y = jax.lax.conv_general_dilated(image, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    pooled = jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    parts = [pooled + phase for phase in range(2)]
    rows = jnp.stack(parts, 2).reshape(1, -1, pooled.shape[2], 2)
    return jnp.stack([rows, -rows], 3).reshape(1, rows.shape[1], -1, 2)


def test_recomputing_gives_what_storing_gives(tmp_path):
    source = np.random.default_rng(0).normal(size=(20, 26)).astype(np.float32)
    plan = sj.plan_tiles(small_net, (1, 20, 26, 1), tile=8)
    predict_volume(small_net, source, tmp_path / "embedding.zarr", plan, axes="yx", progress=False)
    options = {"bandwidth": 2, "key": KEY, "progress": False, "samples": SAMPLES, "foreground": lambda y: y[..., 0] > 0}
    stored = segment_volume(tmp_path / "embedding.zarr", tmp_path / "stored.zarr", plan, **options)
    again = segment_volume(Recompute(small_net, source, axes="yx"), tmp_path / "again.zarr", plan, **options)
    np.testing.assert_array_equal(stored.codes, again.codes)
    np.testing.assert_array_equal(np.asarray(stored.labels), np.asarray(again.labels))
    assert stored.objects > 3
    assert not (tmp_path / "again.zarr" / "0").exists()  # no embedding


def test_a_mask_its_path_and_a_function_select_alike(tmp_path, undisturbed):
    codes, tile, expected = undisturbed
    zarr.save_array(str(tmp_path / "mask.zarr"), (codes >= 0).astype(np.uint8))
    choices = [tmp_path / "mask.zarr", str(tmp_path / "mask.zarr"), (codes >= 0).astype(np.int16)]
    for number, foreground in enumerate(choices):
        found = segmented(codes, tile, tmp_path / f"{number}.zarr", foreground=foreground, min_size=3)
        np.testing.assert_array_equal(np.asarray(found.labels), expected)
    every = segmented(codes, tile, tmp_path / "all.zarr", foreground=None)
    np.testing.assert_array_equal(np.asarray(every.labels), in_memory(codes[None].clip(0))[0])


def test_without_foreground_pixels_there_is_nothing(tmp_path):
    codes = np.full((6, 7), -1, np.int32)
    found = segmented(codes, (3, 3), tmp_path / "out.zarr", codebook=None)
    assert (found.objects, found.codes.shape, np.asarray(found.labels).max()) == (0, (0, 2), 0)


class Slow:
    """An embedding that takes its time."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim

    def __getitem__(self, index):
        time.sleep(0.02)
        return self.array[index]


CHILD = """
import sys
from proofs_tests.volume.test_segment import Slow, embedded, segmented, smooth_codes
codes = smooth_codes((40, 40))
segmented(codes, (6, 7), sys.argv[1], source=Slow(embedded(codes)), codebook=None, samples=150)
"""


def is_deep():
    return settings.get_current_profile_name() == "deep"


def test_it_survives_kill_9_at_any_moment(tmp_path):
    """A process of its own, killed at random moments after it has begun to write; another one ends the work."""
    target, codes = tmp_path / "out.zarr", smooth_codes((40, 40))
    rng, killed = np.random.default_rng(), 0
    for _ in range(20 if is_deep() else 2):
        child = subprocess.Popen([sys.executable, "-c", CHILD, target], cwd=Path(__file__).parents[2])
        journal = target / "labels" / "instances" / "0"
        before = len(list(journal.rglob("*")))
        while child.poll() is None and len(list(journal.rglob("*"))) == before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 1))
        killed += child.poll() is None
        child.kill()
        child.wait()
    assert killed
    found = segmented(codes, (6, 7), target, source=Slow(embedded(codes)), codebook=None, samples=SAMPLES)
    whole = segmented(codes, (6, 7), tmp_path / "whole.zarr", codebook=None, samples=SAMPLES)
    np.testing.assert_array_equal(found.codes, whole.codes)
    np.testing.assert_array_equal(np.asarray(found.labels), np.asarray(whole.labels))
    assert whole.objects > 10


def test_workers_of_a_cluster_give_the_same(tmp_path, undisturbed):
    codes, tile, expected = undisturbed
    distributed = pytest.importorskip("distributed")
    zarr.save_array(str(tmp_path / "embedding.zarr"), embedded(codes))
    options = {"source": tmp_path / "embedding.zarr", "codebook": None, "samples": SAMPLES, "min_size": 3}
    alone = segmented(codes, tile, tmp_path / "alone.zarr", **options)
    cluster = {"n_workers": 2, "threads_per_worker": 2, "processes": is_deep(), "dashboard_address": None}
    with distributed.LocalCluster(**cluster) as workers, distributed.Client(workers) as client:
        found = segmented(codes, tile, tmp_path / "out.zarr", client=client, **options)
    np.testing.assert_array_equal(found.codes, alone.codes)
    np.testing.assert_array_equal(np.asarray(found.labels), np.asarray(alone.labels))
    np.testing.assert_array_equal(np.asarray(found.labels), expected)


@pytest.mark.parametrize("kind", ["mask", "function", "network"])
def test_passes_can_be_sent_to_other_processes(kind, tmp_path, monkeypatch):
    """Every group of tiles by its own copy of the pass, as a process that has just begun would have it."""
    cloudpickle = pytest.importorskip("cloudpickle")
    groups = []

    def in_copies(client, function, shared, target, items, finished, skipped, *, size, describe):
        while group := tuple(islice(items, 3)):
            groups.append(group)
            copy = cloudpickle.loads(cloudpickle.dumps(shared))
            stored, _, failure = function(copy, group, target.uri, target.storage_options)
            assert not failure
            any(map(finished, stored))

    codes = smooth_codes((20, 26))
    zarr.save_array(str(tmp_path / "embedding.zarr"), embedded(codes))
    zarr.save_array(str(tmp_path / "image.zarr"), embedded(codes)[..., 0])
    zarr.save_array(str(tmp_path / "mask.zarr"), codes >= 0)
    plan, source, axes = plan_for(codes.shape, (5, 5)), tmp_path / "embedding.zarr", "yxc"
    if kind == "network":
        plan, axes = sj.plan_tiles(small_net, (1, 20, 26, 1), tile=4), None
        source = Recompute(small_net, tmp_path / "image.zarr", axes="yx")
    options = {"bandwidth": 1, "key": KEY, "progress": False, "samples": SAMPLES, "axes": axes}
    options["foreground"] = tmp_path / "mask.zarr" if kind == "mask" else lambda y: y[..., 0] > 0
    alone = segment_volume(source, tmp_path / "alone.zarr", plan, **options)
    monkeypatch.setattr(segment, "run_on_workers", in_copies)
    client = SimpleNamespace(submit=None, scatter=None)
    found = segment_volume(source, tmp_path / "out.zarr", plan, client=client, **options)
    np.testing.assert_array_equal(found.codes, alone.codes)
    np.testing.assert_array_equal(np.asarray(found.labels), np.asarray(alone.labels))
    assert len(groups) >= 2 * 20 // 3  # two passes
    assert alone.objects > 3


class Stop(BaseException):
    """What a kill is to the code: nothing may catch it."""


@pytest.mark.parametrize("pass_name", ["Sampler", "PieceFinder", "Labeller"])
@pytest.mark.parametrize("after", [0, 1, 5])
def test_it_goes_on_where_it_was_stopped(pass_name, after, tmp_path, monkeypatch):
    codes = smooth_codes((20, 23))
    options = {"codebook": None, "samples": SAMPLES}
    whole = segmented(codes, (6, 8), tmp_path / "whole.zarr", **options)
    right, seen = getattr(passes, pass_name).__call__, []

    def stopped(self, items, finished):
        def report(item):
            finished(item)
            seen.append(item)
            if len(seen) == after:
                raise Stop

        if after == 0:
            raise Stop
        right(self, items, report)

    with monkeypatch.context() as patched:
        patched.setattr(getattr(passes, pass_name), "__call__", stopped)
        with pytest.raises(Stop):
            segmented(codes, (6, 8), tmp_path / "out.zarr", **options)

    left = []

    def watched(self, items, finished):
        right(self, items, lambda item: (left.append(item), finished(item)))

    monkeypatch.setattr(getattr(passes, pass_name), "__call__", watched)
    found = segmented(codes, (6, 8), tmp_path / "out.zarr", **options)
    np.testing.assert_array_equal(found.codes, whole.codes)
    np.testing.assert_array_equal(np.asarray(found.labels), np.asarray(whole.labels))
    assert not set(left) & set(seen)
    assert len(left) + len(seen) == 4 * 3


def test_a_finished_target_is_left_alone(tmp_path, monkeypatch):
    codes = smooth_codes((12, 12))
    first = segmented(codes, (5, 5), tmp_path / "out.zarr")
    monkeypatch.setattr(passes.Pixels, "tiles", None)
    again = segmented(codes, (5, 5), tmp_path / "out.zarr")
    assert (again.objects, again.codes.tolist()) == (first.objects, first.codes.tolist())
    assert not list((tmp_path / "out.zarr" / "labels" / "instances").rglob("pieces-*"))


OTHERS = {
    "bandwidth": {"bandwidth": 2},
    "key": {"key": jax.random.key(1)},
    "min_size": {"min_size": 9},
    "foreground": {"foreground": None},
    "channels": {"channels": [1], "codebook": CODEBOOK[:, 1:]},
    "codebook": {"codebook": CODEBOOK + 1},
    "samples": {"samples": 9},
}


@pytest.mark.parametrize("part", [*OTHERS, "plan", "embedding"])
def test_labels_of_other_work_are_refused(part, tmp_path):
    codes = smooth_codes((12, 12))
    options = {"axes": "yxc", "bandwidth": 1, "key": KEY, "progress": False, "codebook": CODEBOOK}
    options["foreground"] = codes >= 0
    first = segment_volume(embedded(codes), tmp_path / "out.zarr", plan_for(codes.shape, (5, 5)), **options)
    before = np.asarray(first.labels)
    plan = plan_for(codes.shape, (5, 6) if part == "plan" else (5, 5))
    embedding = embedded(codes, seed=int(part == "embedding"))
    with pytest.raises(VolumeError, match=rf"another {part}\b.*another target"):
        segment_volume(embedding, tmp_path / "out.zarr", plan, **{**options, **OTHERS.get(part, {})})
    np.testing.assert_array_equal(np.asarray(first.labels), before)


def test_functions_of_the_embedding_are_told_apart(tmp_path):
    codes = smooth_codes((8, 8))
    limit = np.float32(1)
    segmented(codes, (5, 5), tmp_path / "out.zarr", foreground=lambda y: y[..., 0] > limit)
    limit = np.float32(1)
    segmented(codes, (5, 5), tmp_path / "out.zarr", foreground=lambda tile: tile[..., 0] > limit)
    limit = np.float32(2)
    with pytest.raises(VolumeError, match="another foreground"):
        segmented(codes, (5, 5), tmp_path / "out.zarr", foreground=lambda y: y[..., 0] > limit)


def test_existing_labels_are_refused_without_resume(tmp_path):
    codes = smooth_codes((8, 8))
    segmented(codes, (5, 5), tmp_path / "out.zarr")
    with pytest.raises(VolumeError, match="exists already"):
        segmented(codes, (5, 5), tmp_path / "out.zarr", resume=False)
    segmented(codes, (5, 5), tmp_path / "out.zarr", resume=False, name="others")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_viewers_find_the_labels_over_the_image(zarr_format, tmp_path):
    """The way a viewer goes: the group's list of labels, their multiscales, the array; scale as the image's."""
    codes, uri = smooth_codes((12, 14)), tmp_path / "image.zarr"
    axes = [{"name": "c", "type": "channel"}] + [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    steps = [{"type": "scale", "scale": [1, 0.5, 0.25]}, {"type": "translation", "translation": [0, 3, 4]}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}], "name": "e"}
    described = {"multiscales": [{"version": "0.4", **image}]}
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
    labels = zarr.open_group(str(uri / "labels" / "cells"), mode="r")
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


def test_a_target_that_is_no_group_is_refused(tmp_path):
    codes = smooth_codes((8, 8))
    zarr.save_array(str(tmp_path / "array.zarr"), np.zeros(3))
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
        made = segmented(codes, (5, 5), uri, name=name)
        seen = zarr.open_group(uri, mode="r")
        assert seen.metadata.consolidated_metadata is not None
        np.testing.assert_array_equal(seen[f"labels/{name}/0"][:], made.labels[:])
    segmented(codes, (5, 5), tmp_path / "plain.zarr", zarr_format=zarr_format)
    assert zarr.open_group(tmp_path / "plain.zarr").metadata.consolidated_metadata is None


def test_lost_labels_are_found_again(tmp_path):
    codes = smooth_codes((12, 12))
    first = segmented(codes, (5, 5), tmp_path / "out.zarr")
    wanted = first.labels[:]
    chunks = [p for p in (tmp_path / "out.zarr" / "labels" / "instances" / "0" / "c").rglob("*") if p.is_file()]
    assert len(chunks) == 9
    chunks[4].unlink()
    assert (first.labels[:] != wanted).any()
    again = segmented(codes, (5, 5), tmp_path / "out.zarr")
    np.testing.assert_array_equal(again.labels[:], wanted)
    assert again.objects == first.objects
    assert not list((tmp_path / "out.zarr" / "labels" / "instances").rglob("pieces-*"))


def test_another_process_that_has_finished_is_told(tmp_path, monkeypatch):
    """It clears away what this one still needs."""
    codes = smooth_codes((8, 8))
    begin = passes.Labeller.__call__

    def late(labeller, items, finished):
        labeller.scratch.clear()
        begin(labeller, items, finished)

    monkeypatch.setattr(passes.Labeller, "__call__", late)
    with pytest.raises(VolumeError, match=r"pieces-0-0-0 is gone .* another process .* call again"):
        segmented(codes, (5, 5), tmp_path / "out.zarr")


@pytest.mark.parametrize(
    ("options", "say"),
    [
        ({"name": 3}, "`name`"),
        ({"channels": [7]}, "`channels`"),
        ({"channels": 0}, "`channels`"),
        ({"channels": []}, "`channels`"),
        ({"plan": None}, "`plan`"),
        ({"resume": "no"}, "`resume`"),
        ({"target": 5}, "`target`"),
        ({"zarr_format": 4}, "`zarr_format`"),
        ({"storage_options": {"x": 1}}, "`storage_options`"),
    ],
)
def test_arguments_of_another_kind_are_refused(options, say, tmp_path):
    codes = smooth_codes((8, 8))
    given = {"embedding": embedded(codes), "target": tmp_path / "o", "plan": plan_for((8, 8), (5, 5)), "axes": "yxc"}
    unchecked = getattr(segment_volume, "__wrapped__", segment_volume)  # as users call it: without the tests' types
    with pytest.raises(ValueError, match=say):
        unchecked(**{**given, "bandwidth": 1, "key": KEY, "codebook": CODEBOOK, "progress": False, **options})
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("stored", ["<f4", ">f4", ">f2", ">i2"])
def test_embeddings_in_either_byte_order(stored, tmp_path):
    codes = smooth_codes((12, 12))
    source = np.round(embedded(codes)).astype(stored)
    made = segmented(codes, (5, 5), tmp_path / "out.zarr", source=source)
    np.testing.assert_array_equal(made.labels[:], in_memory(codes[None])[0])


def blurred(y):
    """Looks at the next pixel as well."""
    return y[..., 0] + jnp.pad(y[:, 1:, :, 0], ((0, 0), (0, 1), (0, 0))) > 0


def test_bad_arguments_are_told_in_one_sentence(tmp_path):
    codes = smooth_codes((8, 8))
    embedding = embedded(codes)
    holed = embedding.copy()
    holed[6, 7, 1] = np.nan
    plan = plan_for((8, 8), (5, 5))
    options = {"axes": "yxc", "bandwidth": 1, "key": KEY, "progress": False, "codebook": CODEBOOK}
    wrong = {
        r"`embedding`: expected \(8, 8\) pixels, as planned, found \(8, 7\)": ((embedding[:, :7], plan), {}),
        r"`embedding`: expected finite values, found NaN or infinity in tile \(1, 1\)": ((holed, plan), {}),
        r"`embedding`: expected finite values, found 1 of 18": ((holed, plan), {"codebook": None}),
        r"`bandwidth`": ((embedding, plan), {"bandwidth": 0}),
        r"`codebook`: expected an array \(code, 2\)": ((embedding, plan), {"codebook": CODEBOOK[:, :1]}),
        r"`foreground`: expected a mask": ((embedding, plan), {"foreground": codes[:4]}),
        r"`foreground`: expected a JAX function .* found float32": ((embedding, plan), {"foreground": lambda y: y}),
        r"`name`": ((embedding, plan), {"name": "a/b"}),
        r"`axes`": ((Recompute(lambda x: x, embedding[..., 0]), plan), {}),
        r"`plan`: expected one for a single image": ((embedding, sj.plan_tiles(lambda x: x, (2, 8, 8, 1))), {}),
    }
    for number, (message, (arguments, more)) in enumerate(wrong.items()):
        source, chosen = arguments
        with pytest.raises(ValueError, match=message):
            segment_volume(source, tmp_path / f"{number}.zarr", chosen, **{**options, **more})


def test_a_missing_table_is_told(tmp_path, monkeypatch):
    codes = smooth_codes((8, 8))
    with monkeypatch.context() as patched:
        patched.setattr(passes.Labeller, "__call__", lambda *args: (_ for _ in ()).throw(Stop()))
        with pytest.raises(Stop):
            segmented(codes, (5, 5), tmp_path / "out.zarr")
    (table,) = (tmp_path / "out.zarr").rglob("table-0-0-1")
    table.write_bytes(table.read_bytes()[:-9])
    with pytest.raises(VolumeError, match=r"table-0-0-1.*damaged.*begin again"):
        segmented(codes, (5, 5), tmp_path / "out.zarr")


class Endless:
    """A long stack of small objects of four codes that is never in memory; axes zyxc."""

    def __init__(self, depth):
        self.shape, self.dtype, self.ndim = (depth, 32, 32, 2), np.dtype(np.float32), 4

    def __getitem__(self, index):
        z, y, x = (np.arange(*at.indices(n)) // 7 for at, n in zip(index[:3], self.shape, strict=False))
        return CODEBOOK[(z[:, None, None] + 2 * y[:, None] + x) % 4][..., index[3]]


def peak(depth, tile, target):
    """Bytes held at a time at most, and how many objects."""
    plan = plan_for((depth, 32, 32), tile)
    options = {"axes": "zyxc", "bandwidth": 1, "key": KEY, "progress": False, "samples": SAMPLES}
    tracemalloc.start()
    found = segment_volume(Endless(depth), target, plan, **options)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most, found.objects


def test_memory_does_not_grow_with_the_volume(tmp_path):
    tile = (16, 16, 32)
    peak(16, tile, tmp_path / "warm.zarr")
    (small, few), (large, many) = (peak(n, tile, tmp_path / f"{n}.zarr") for n in (32, 128))
    assert many > 3 * few
    assert large < 1.5 * small
    assert peak(128, (128, 32, 32), tmp_path / "one.zarr")[0] > 3 * large  # control: one tile of all


def test_random_keys_draw_other_samples_and_find_the_same_codes(tmp_path):
    codes = smooth_codes((30, 30))
    runs = [
        segmented(codes, (9, 9), tmp_path / f"{seed}.zarr", codebook=None, samples=SAMPLES, key=jax.random.key(seed))
        for seed in range(3)
    ]
    for one, other in pairwise(runs):
        assert not np.array_equal(one.codes, other.codes)
        np.testing.assert_array_equal(np.asarray(one.labels), np.asarray(other.labels))
