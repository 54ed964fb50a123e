"""Names are names, places stay where they were, links are followed, and a broken terminal stops nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import zarr
from fsspec.core import url_to_fs

from proofs_tests.volume.code_volumes import segmented, smooth_codes
from proofs_tests.volume.small import expected, net, plan, volume
from shiftjax import _patience
from shiftjax.volume import NewTarget, VolumeError, open_prediction, open_source, predict_volume
from shiftjax.volume._storage import retry
from shiftjax.volume._storage.folder import LocalFolder, open_folder

SHAPE = (8, 16, 15)
IMAGE, NET, PLAN, RIGHT = volume(SHAPE), net(), plan(shape=SHAPE), expected(volume(SHAPE))
FIRST = (slice(0, 4), slice(None), slice(None))
NAMES = ["run[1]", "a::b", "what?* {x,y} per%cent#[!a]"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["disk", "memory"])
def test_names_are_names(name, place, tmp_path):
    if place == "memory" and "::" in name:
        pytest.skip("means a chain of file systems in a URI")
    root = str(tmp_path) if place == "disk" else f"memory://{uuid.uuid4().hex}"
    decoy = f"{root}/{name.replace('[1]', '1').replace('*', 'X').replace('?', 'X')}/o"  # what a pattern would find
    predict_volume(NET, 255 - IMAGE, decoy + "ther", PLAN, progress=False)
    source = f"{root}/{name}/in.zarr"
    zarr.create_array(Path(source) if place == "disk" else source, data=IMAGE, chunks=(5, 6, 6))
    predict_volume(NET, source, f"{root}/{name}/o", PLAN, region=FIRST, progress=False)
    np.testing.assert_array_equal(predict_volume(NET, source, f"{root}/{name}/o", PLAN, progress=False)[:], RIGHT)
    np.testing.assert_array_equal(open_prediction(f"{root}/{name}/o")[:], RIGHT)
    np.testing.assert_array_equal(open_source(f"{root}/{name}/o").array[:], RIGHT)
    codes = smooth_codes((8, 8))
    assert segmented(codes, (5, 5), f"{root}/{name}/s", name="lab[e]l").objects > 0
    assert not open_folder(f"{root}/{name}/s/labels/lab[e]l/0/intermediates").sizes()


def test_control_a_pattern_finds_another_folder(tmp_path):
    """What went wrong: functions of fsspec that expand patterns."""
    (tmp_path / "run[1]").mkdir()
    (tmp_path / "run[1]" / "a").write_bytes(b"1")
    files, path = url_to_fs(str(tmp_path / "run[1]"))
    with pytest.raises(FileNotFoundError):
        files.cat([f"{path}/a"])
    assert open_folder(path).get("a") == b"1"


def test_places_are_absolute_from_the_first_moment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    zarr.create_array("in.zarr", data=IMAGE, chunks=(5, 6, 6))
    (tmp_path / "elsewhere").mkdir()

    def wander(tile):
        os.chdir(tmp_path / "elsewhere")
        return True

    made = predict_volume(NET, "in.zarr", "o", PLAN, where=wander, progress=False, batch_size=1)
    np.testing.assert_array_equal(made[:], RIGHT)
    assert not list((tmp_path / "elsewhere").iterdir())
    assert open_source(tmp_path / "in.zarr").name == str(tmp_path / "in.zarr")


def test_a_path_that_was_a_uri_is_refused(tmp_path, monkeypatch):
    """By `Path` the slashes of s3://bucket become one: it would be a folder here, called `s3:`."""
    monkeypatch.chdir(tmp_path)
    for use in (
        lambda: predict_volume(NET, IMAGE, Path("s3://bucket/o"), PLAN, progress=False),
        lambda: predict_volume(NET, IMAGE, "memory:/o", PLAN, progress=False),
        lambda: open_source(Path("s3://bucket/o")),
    ):
        with pytest.raises(ValueError, match=r"expected a URI like (s3|memory)://bucket/name, or a path, found"):
            use()
    assert not list(tmp_path.iterdir())
    for name in (Path(f"file://{tmp_path}/a"), "./s3:/bucket", "b:/c"):
        np.testing.assert_array_equal(predict_volume(NET, IMAGE, name, PLAN, progress=False)[:], RIGHT)


def test_targets_are_checked_whoever_made_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    predict_volume(NET, IMAGE, NewTarget("o/"), PLAN, progress=False)
    np.testing.assert_array_equal(open_prediction(tmp_path / "o")[:], RIGHT)
    for wrong, say in ((NewTarget("o.zip"), "`target`"), (NewTarget("o", "a"), "`dtype`")):
        with pytest.raises(ValueError, match=f"^{say}: expected"):
            predict_volume(NET, IMAGE, wrong, PLAN, progress=False)


@pytest.mark.parametrize("linked", ["0/c", "0", "."])
def test_links_are_followed(linked, tmp_path):
    predict_volume(NET, IMAGE, tmp_path / "o", PLAN, progress=False)
    place = tmp_path / "o" / linked
    shutil.move(place, tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    asked: list[int] = []

    def where(tile):
        asked.append(1)
        return True

    predict_volume(NET, IMAGE, tmp_path / "o", PLAN, progress=False, where=where)
    assert not asked


def test_one_of_several_outputs_may_be_a_link(tmp_path):
    """Its journal is that of the first output, which lies where the link does, not where it leads."""

    def both(image):
        return {"a": NET(image), "b": NET(image) + 1}

    planned = plan(both, SHAPE)
    predict_volume(both, IMAGE, tmp_path / "o", planned, progress=False)
    (tmp_path / "other" / "disk").mkdir(parents=True)
    shutil.move(tmp_path / "o" / "b", tmp_path / "other" / "disk" / "b")
    (tmp_path / "o" / "b").symlink_to(tmp_path / "other" / "disk" / "b")
    np.testing.assert_array_equal(open_prediction(tmp_path / "o", output="b")[:], RIGHT + 1)
    (tmp_path / "link").symlink_to(tmp_path / "o" / "a" / "0")
    np.testing.assert_array_equal(open_source(tmp_path / "link", axes="czyx").array[:], RIGHT)
    shutil.rmtree(tmp_path / "o" / "a" / "0" / "journal")
    with pytest.raises(VolumeError, match="not finished: 0 of 8"):
        open_prediction(tmp_path / "o", output="b")


def test_a_link_to_itself_is_looked_at_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "a" / "file").write_bytes(b"123")
    (tmp_path / "nowhere").symlink_to(tmp_path / "nothing")
    assert LocalFolder(str(tmp_path)).sizes() == {"a/file": 3}


class Broken:
    """A terminal that breaks after a while."""

    def __init__(self, after):
        self.left = after

    def write(self, text):
        self.left -= 1
        if self.left < 0:
            raise BrokenPipeError(32, "Broken pipe")
        return len(text)

    def flush(self):
        self.write("")


@pytest.mark.parametrize("after", [0, 1, 3, 10])
def test_a_broken_terminal_stops_nothing(after, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Broken(after))
    retry.TRIED_AGAIN[0] = 1  # so that there is something to say
    made = predict_volume(NET, IMAGE, tmp_path / "o", PLAN, batch_size=1)
    _patience.say("good bye")
    monkeypatch.undo()
    np.testing.assert_array_equal(made[:], RIGHT)


def test_no_terminal_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    _patience.say("nobody hears this")


def test_a_reader_that_has_gone_does_not_change_the_exit_code(tmp_path):
    zarr.create_array(tmp_path / "in.zarr", data=IMAGE)
    command = [sys.executable, "-m", "shiftjax", "predict", "--net", "proofs_tests.volume.small:net_int"]
    command += [str(tmp_path / "in.zarr"), str(tmp_path / "o"), "--tile", "4", "--dtype", "int32"]
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, stdout=writer, stderr=writer, env=environment, cwd=Path(__file__).parents[2])
    os.close(writer)
    assert done.returncode == 0
    np.testing.assert_array_equal(open_prediction(tmp_path / "o")[:], RIGHT)
