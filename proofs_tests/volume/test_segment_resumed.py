"""A segmentation that is stopped at any moment ends as an undisturbed one does, and only the same work resumes it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import jax
import numpy as np
import pytest
import zarr

from proofs_tests.volume.code_volumes import (
    CODEBOOK,
    KEY,
    SAMPLES,
    embedded,
    plan_for,
    segmented,
    smooth_codes,
)
from proofs_tests.volume.small import is_deep
from shiftjax.volume import VolumeError, new_target, segment_volume
from shiftjax.volume._jobs import run
from shiftjax.volume._segmentation import passes, stages
from shiftjax.volume._segmentation.foreground import MaskedEmbedding
from shiftjax.volume._storage.intermediates import Intermediates
from shiftjax.volume._targets import provenance
from shiftjax.volume._targets.pyramid import Pyramid


class Slow:
    """An embedding that takes its time."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim

    def __getitem__(self, index):
        time.sleep(0.02)
        return self.array[index]


CHILD = """
import sys
from proofs_tests.volume.code_volumes import embedded, segmented, smooth_codes
from proofs_tests.volume.test_segment_resumed import Slow
codes = smooth_codes((40, 40))
segmented(codes, (6, 7), sys.argv[1], source=Slow(embedded(codes)), codebook=None, samples=150)
"""


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


class Stop(BaseException):
    """What a kill is to the code: nothing may catch it."""


@pytest.mark.parametrize("pass_name", ["SamplePass", "FragmentPass", "LabelPass"])
@pytest.mark.parametrize("after", [0, 1, 5])
def test_it_goes_on_where_it_was_stopped(pass_name, after, tmp_path, monkeypatch):
    codes = smooth_codes((20, 23))
    options: Any = {"codebook": None, "samples": SAMPLES}
    whole = segmented(codes, (6, 8), tmp_path / "whole.zarr", **options)
    right, seen = getattr(passes, pass_name).__call__, []

    def stopped(self, tiles, progress):
        def finish(tile, receipt):
            progress.finish(tile, receipt)
            seen.append(tile)
            if len(seen) == after:
                raise Stop

        if after == 0:
            raise Stop
        right(self, tiles, SimpleNamespace(finish=finish, skip=progress.skip))

    with monkeypatch.context() as patched:
        patched.setattr(getattr(passes, pass_name), "__call__", stopped)
        with pytest.raises(Stop):
            segmented(codes, (6, 8), tmp_path / "out.zarr", **options)

    left = []

    def watched(self, tiles, progress):
        def finish(tile, receipt):
            left.append(tile)
            progress.finish(tile, receipt)

        right(self, tiles, SimpleNamespace(finish=finish, skip=progress.skip))

    monkeypatch.setattr(getattr(passes, pass_name), "__call__", watched)
    found = segmented(codes, (6, 8), tmp_path / "out.zarr", **options)
    np.testing.assert_array_equal(found.codes, whole.codes)
    np.testing.assert_array_equal(np.asarray(found.labels), np.asarray(whole.labels))
    assert not set(left) & set(seen)
    assert len(left) + len(seen) == 4 * 3


def test_other_codes_than_those_that_were_lost(tmp_path, monkeypatch):
    """As another device may find them, in another order: no object is made of fragments of both."""
    codes = smooth_codes((20, 23))
    options: Any = {"codebook": None, "samples": SAMPLES}
    whole = segmented(codes, (6, 8), tmp_path / "whole.zarr", **options).labels[:]
    right, seen, find = passes.FragmentPass.__call__, [], stages.find_codes

    def stopped(self, tiles, progress):
        def finish(tile, receipt):
            progress.finish(tile, receipt)
            seen.append(tile)
            if len(seen) == 5:
                raise Stop

        right(self, tiles, SimpleNamespace(finish=finish, skip=progress.skip))

    with patch.object(passes.FragmentPass, "__call__", stopped), pytest.raises(Stop):
        segmented(codes, (6, 8), tmp_path / "o", **options)
    (tmp_path / "o" / "labels" / "instances" / "0" / "results" / "codes").unlink()
    monkeypatch.setattr(stages, "find_codes", lambda sample, **settings: find(sample, **settings)[::-1])
    for _ in range(2):  # and once more, when it is finished
        np.testing.assert_array_equal(segmented(codes, (6, 8), tmp_path / "o", **options).labels[:], whole)
        (tmp_path / "o" / "labels" / "instances" / "0" / "results" / "codes").unlink()
        monkeypatch.setattr(stages, "find_codes", find)


@pytest.mark.parametrize("control", [False, True])
def test_coarser_levels_follow_other_codes(control, tmp_path, monkeypatch):
    """Codes that were lost, of which another device finds fewer: no level goes on showing the labels of before."""
    codes, target = smooth_codes((20, 24)), new_target(tmp_path / "o", levels=2)
    options: Any = {"codebook": None, "samples": SAMPLES}
    first = segmented(codes, (6, 8), target, **options)
    (tmp_path / "o" / "labels" / "instances" / "0" / "results" / "codes").unlink()
    find = stages.find_codes
    monkeypatch.setattr(stages, "find_codes", lambda sample, **settings: find(sample, **settings)[:1])
    if control:  # and nobody looks at them again afterwards
        monkeypatch.setattr(Pyramid, "unlist", lambda self: None)
        options["verify"] = False
    second = segmented(codes, (6, 8), target, **options)
    assert second.objects < first.objects
    coarse: Any = zarr.open_array(tmp_path / "o" / "labels" / "instances" / "1", mode="r")
    assert np.array_equal(coarse[:], second.labels[1::2, 1::2]) is not control


def test_a_finished_target_is_left_alone(tmp_path, monkeypatch):
    codes = smooth_codes((12, 12))
    first = segmented(codes, (5, 5), tmp_path / "out.zarr")
    monkeypatch.setattr(MaskedEmbedding, "read", None)
    again = segmented(codes, (5, 5), tmp_path / "out.zarr")
    assert (again.objects, again.codes.tolist()) == (first.objects, first.codes.tolist())
    assert not list((tmp_path / "out.zarr" / "labels" / "instances").rglob("fragments-*"))


OTHERS: Any = {
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
    options: Any = {"axes": "yxc", "bandwidth": 1, "key": KEY, "progress": False, "codebook": CODEBOOK}
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
    assert not list((tmp_path / "out.zarr" / "labels" / "instances").rglob("fragments-*"))


def test_stopped_before_the_number_of_other_objects_is_kept(tmp_path, monkeypatch):
    """Codes that were lost, of which another device finds fewer; the labels of those are written, but not counted."""
    codes, options = smooth_codes((12, 12)), {"codebook": None, "samples": SAMPLES}
    first = segmented(codes, (5, 5), tmp_path / "o", **options)
    (tmp_path / "o" / "labels" / "instances" / "0" / "results" / "codes").unlink()
    find, put = stages.find_codes, Intermediates.put
    monkeypatch.setattr(stages, "find_codes", lambda sample, **settings: find(sample, **settings)[:1])

    def stopped(self, name, arrays):
        if name == "objects":
            raise Stop
        put(self, name, arrays)

    with patch.object(Intermediates, "put", stopped), pytest.raises(Stop):
        segmented(codes, (5, 5), tmp_path / "o", **options)
    found = segmented(codes, (5, 5), tmp_path / "o", **options)
    assert found.objects == np.asarray(found.labels).max() < first.objects


@pytest.mark.parametrize("control", [False, True])
def test_fragments_of_a_changed_source_are_not_kept(control, tmp_path, monkeypatch):
    """Lost labels are found again from a source that has changed, which is refused; then the earlier one comes back."""
    monkeypatch.setattr(provenance, "BLOCKS", 0)  # or they would see that the source is another one
    codes, options = smooth_codes((12, 12)), {"verify": False}  # nor does a sample of the finished tiles
    source = embedded(codes)
    right = segmented(codes, (5, 5), tmp_path / "o", source=source, **options).labels[:]
    next(p for p in (tmp_path / "o" / "labels" / "instances" / "0" / "c").rglob("*") if p.is_file()).unlink()
    earlier = source[:5, :5].copy()
    source[:5, :5] = CODEBOOK[np.indices((5, 5)).sum(0) % 4]
    if control:
        monkeypatch.setattr(run, "check_source", lambda *args: [])
    with pytest.raises(VolumeError, match=r"not what it was .* bring the earlier source back"):
        segmented(codes, (5, 5), tmp_path / "o", source=source, **options)
    source[:5, :5] = earlier
    found = segmented(codes, (5, 5), tmp_path / "o", source=source, **options).labels[:]
    assert np.array_equal(found, right) is not control


@pytest.mark.parametrize("late", [False, True])
def test_a_chunk_that_comes_between_two_passes_stops_the_run(late, tmp_path, monkeypatch):
    """Codes would be those of a volume without it, labels those of one with it."""
    codes, options = smooth_codes((12, 12)), {"codebook": None, "samples": SAMPLES}
    zarr.create_array(tmp_path / "in", data=embedded(codes), chunks=(5, 5, 2))
    chunk = tmp_path / "in" / "c" / "1" / "1" / "0"
    data, find = chunk.read_bytes(), stages.find_codes
    chunk.unlink()

    def found(sample, **settings):
        if late:
            chunk.write_bytes(data)
        return find(sample, **settings)

    monkeypatch.setattr(stages, "find_codes", found)
    call = lambda: segmented(codes, (5, 5), tmp_path / "o", source=tmp_path / "in", **options)  # noqa: E731
    if late:
        with pytest.raises(VolumeError, match="not what it was"):
            call()
    else:
        assert call().objects  # control: it stays away


HARMS: Any = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "flipped": lambda path: path.write_bytes(path.read_bytes()[:40] + b"!" + path.read_bytes()[41:]),
}


@pytest.mark.parametrize("harm", HARMS if is_deep() else ["gone", "torn"])
@pytest.mark.parametrize("kind", ["sample", "table", "fragments"])
def test_what_is_lost_on_the_way_is_computed_again(kind, harm, tmp_path, monkeypatch):
    """All that a pass left of one tile, after the pass has ended and before the next one reads it."""
    codes, options = smooth_codes((12, 12)), {"codebook": None, "samples": SAMPLES}
    whole = segmented(codes, (5, 5), tmp_path / "whole.zarr", **options)
    read, harmed = passes.stored, []

    def late(wanted, tiles, intermediates, again):
        if wanted == kind:
            (path,) = (tmp_path / "out.zarr").rglob(f"{kind}-0-1-0")
            HARMS[harm](path)
            harmed.append(path)
        return read(wanted, tiles, intermediates, again)

    monkeypatch.setattr(passes, "stored", late)
    found = segmented(codes, (5, 5), tmp_path / "out.zarr", **options)
    assert harmed
    np.testing.assert_array_equal(found.codes, whole.codes)
    np.testing.assert_array_equal(found.labels[:], whole.labels[:])


@pytest.mark.parametrize("harm", HARMS if is_deep() else ["gone", "flipped"])
@pytest.mark.parametrize("stage", ["codes", "objects"])
def test_a_lost_result_is_found_again(stage, harm, tmp_path):
    codes, options = smooth_codes((12, 12)), {"codebook": None, "samples": SAMPLES}
    whole = segmented(codes, (5, 5), tmp_path / "out.zarr", **options)
    labels = whole.labels[:]
    (path,) = (tmp_path / "out.zarr").rglob(f"results/{stage}")
    HARMS[harm](path)
    found = segmented(codes, (5, 5), tmp_path / "out.zarr", **options)
    assert found.objects == whole.objects
    np.testing.assert_array_equal(found.codes, whole.codes)
    np.testing.assert_array_equal(found.labels[:], labels)


def test_labels_of_an_earlier_format_are_refused(tmp_path):
    codes = smooth_codes((8, 8))
    first = segmented(codes, (5, 5), tmp_path / "out.zarr")
    before = first.labels[:]
    group: Any = zarr.open_group(tmp_path / "out.zarr" / "labels" / "instances", mode="r+")
    group.attrs["shiftjax"] = {**group.attrs["shiftjax"], "format": 1}
    with pytest.raises(VolumeError, match="made with another version of shiftjax; choose another target"):
        segmented(codes, (5, 5), tmp_path / "out.zarr")
    np.testing.assert_array_equal(first.labels[:], before)
