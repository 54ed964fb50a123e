"""Whatever stops a run, what it calls finished is finished, and the same call ends where an undisturbed one does."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, BytesCodec, GzipCodec, ShardingCodec, ShardingCodecIndexLocation

from proofs_tests.volume.harm import Damage
from proofs_tests.volume.small import expected, is_deep, net, plan, volume
from shiftjax.volume import VolumeError, open_source, predict_volume
from shiftjax.volume._storage import journal
from shiftjax.volume._storage.journal import Journal

ROOT = Path(__file__).parents[2]
TILES = list(plan().tiles())


@pytest.fixture
def source(tmp_path):
    """Stored so that each tile reads several chunks, written without compression."""
    uri = tmp_path / "in.zarr"
    zarr.create_array(uri, data=volume(), chunks=(5, 6, 6), compressors=None)
    return uri


def start(source, target, fault=""):
    command = [sys.executable, "-m", "proofs_tests.volume.stopped", str(source), str(target), fault]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def journaled(target):
    return Journal(str(target / "0" / "journal")).finished


def wrong(target):
    """Tiles that the journal calls finished, but that do not hold what they must."""
    stored, right, planned = zarr.open_array(target / "0", mode="r"), expected(volume()), plan()
    windows = ((slice(None), *planned.output_slices(TILES[number])) for number in journaled(target))
    return [window for window in windows if (stored[window] != right[window]).any()]


def stored(target):
    """The bytes of all chunks."""
    return {path.relative_to(target): path.read_bytes() for path in (target / "0" / "c").rglob("*") if path.is_file()}


def undisturbed(source, target):
    predict_volume(net(), source, target, plan(), progress=False)
    np.testing.assert_array_equal(zarr.open_array(target / "0")[:], expected(volume()))
    return stored(target)


def test_killed_at_random_moments(source, tmp_path):
    whole, target = undisturbed(source, tmp_path / "whole"), tmp_path / "o"
    moments = random.Random(0)
    before: set = set()
    for _ in range(20 if is_deep() else 3):
        with start(source, target) as process:
            assert process.stdout.readline() == "begun\n"
            time.sleep(moments.uniform(0.2, 1.4))  # opening, compiling, computing: all of them are met
            process.kill()
        if (target / "0" / "zarr.json").exists():
            assert not wrong(target)
            assert before <= journaled(target)
            before = journaled(target)
    with start(source, target) as process:
        assert process.stdout.read() == "begun\nfinished\n"
    assert journaled(target) == set(range(len(TILES)))
    assert {path: data for path, data in stored(target).items() if path.suffix != ".partial"} == whole


def test_killed_while_it_writes(source, tmp_path):
    """As soon as there is a chunk, so that some tiles are finished and others not."""
    target = tmp_path / "o"
    with start(source, target) as process:
        while not (target / "0" / "journal").exists():
            time.sleep(0.001)
        process.kill()
    assert not wrong(target)
    assert len(journaled(target)) < len(TILES)
    assert undisturbed(source, target) == undisturbed(source, tmp_path / "whole")


def test_control_a_journal_ahead_of_the_data_is_found(source, tmp_path):
    with start(source, tmp_path / "o", "journal before writing") as process:
        while not (tmp_path / "o" / "0" / "journal").exists() or not journaled(tmp_path / "o"):
            time.sleep(0.01)
        process.kill()
    assert wrong(tmp_path / "o")


def test_torn_chunks_are_written_again(source, tmp_path):
    """As a file system may leave them that does not write them whole: of tiles that are not journaled."""
    target = tmp_path / "o"
    whole = undisturbed(source, tmp_path / "whole")
    begun = predict_volume(net(), source, target, plan(), region=(slice(0, 4),) * 3, progress=False)
    assert begun[:].any()
    for path, data in whole.items():
        if not (target / path).exists():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(data[: len(data) // 2])
    assert undisturbed(source, target) == whole


def stops(source, target, say, where=None):
    """Runs into a fault; the error in one line, which tells what is kept."""
    with pytest.raises(VolumeError, match=say) as stopped:
        predict_volume(net(), source, target, plan(), batch_size=1, progress=False, where=where)
    message = str(stopped.value)
    assert "\n" not in message
    kept = len(journaled(target))
    assert f"{kept} of {len(TILES)} tiles are finished and kept" in message
    assert "the same call goes on" in message
    assert not wrong(target)
    return kept, message


def test_a_damaged_chunk(tmp_path):
    zarr.create_array(tmp_path / "in.zarr", data=volume(), chunks=(5, 6, 6))
    damaged = tmp_path / "in.zarr" / "c" / "1" / "2" / "3"
    data = damaged.read_bytes()
    where = Damage(damaged)
    kept, message = stops(tmp_path / "in.zarr", tmp_path / "o", r"tile \(1, 1, 2\)|tile \(0, 1, 2\)", where)
    assert 0 < kept < len(TILES)
    assert "cannot read pixels z " in message
    for target in (tmp_path / "o", tmp_path / "p"):  # nobody knows whether this is the source; nothing is lost
        with pytest.raises(VolumeError, match="cannot read pixels"):
            predict_volume(net(), tmp_path / "in.zarr", target, plan(), progress=False)
    assert len(journaled(tmp_path / "o")) == kept
    assert not (tmp_path / "p").exists()
    damaged.write_bytes(data)
    undisturbed(tmp_path / "in.zarr", tmp_path / "o")


CODECS: dict[str, Any] = {
    "blosc 2": {"zarr_format": 2, "compressors": numcodecs.Blosc()},
    "blosc": {"compressors": BloscCodec()},
    "shards": {"chunks": (5, 3, 3), "shards": (5, 6, 6)},
    "shards that begin with their list": {
        "serializer": ShardingCodec(
            chunk_shape=(5, 3, 3), codecs=[BytesCodec(), BloscCodec()], index_location=ShardingCodecIndexLocation.start
        ),
        "compressors": None,
    },
    "zlib 2": {"zarr_format": 2, "compressors": numcodecs.Zlib()},
    "none 2": {"zarr_format": 2, "compressors": None},
    "gzip": {"compressors": GzipCodec()},
    "none": {"compressors": None},
}


@pytest.mark.parametrize("codec", CODECS)
def test_a_chunk_that_an_outage_cut_off(codec, tmp_path):
    """Refused at any length; zarr reads some of them as zeros, or as what lies in memory behind them."""
    image, silent = volume(), False
    zarr.create_array(tmp_path / "in.zarr", data=image, **{"chunks": (5, 6, 6), "fill_value": 0, **CODECS[codec]})
    key = "1.2.3" if codec.endswith("2") else "c/1/2/3"
    chunk, part = tmp_path / "in.zarr" / key, (slice(5, 10), slice(12, 18), slice(18, 22))
    data = chunk.read_bytes()
    for size in {0, 1, 15, len(data) // 2, len(data) - 1}:
        chunk.write_bytes(data[:size])
        for missing in ("fill", "error"):
            with pytest.raises(
                VolumeError, match=rf"chunk {key} .* (cut off after {size} |is empty)|cannot read pixels"
            ):
                open_source(tmp_path / "in.zarr", axes="zyx", missing=missing).at(0)(part)
        if size in (0, len(data) - 1):
            with contextlib.suppress(Exception):  # the control
                silent |= zarr.open_array(tmp_path / "in.zarr", mode="r")[part] is not None
    assert silent == ("blosc" in codec or "shards" in codec)
    chunk.write_bytes(data)
    found = open_source(tmp_path / "in.zarr", axes="zyx").at(0)(part)
    np.testing.assert_array_equal(found[0, ..., 0], image[part])
    zarr.open_array(tmp_path / "in.zarr")[part] = 0
    assert not open_source(tmp_path / "in.zarr", axes="zyx").at(0)(part).any()  # of zeros, and whole


def test_a_missing_chunk_is_the_fill_value(source, tmp_path):
    (source / "c" / "1" / "2" / "3").unlink()
    made = predict_volume(net(), source, tmp_path / "o", plan(), progress=False)
    image = volume()
    image[5:10, 12:18, 18:] = 0
    np.testing.assert_array_equal(made[:], expected(image))
    assert (made[:] != expected(volume())).any()


def test_a_full_disk_by_file_size(tmp_path):
    """The second half of the volume does not compress, so its chunks exceed what a file may hold."""
    image = volume()
    image[:8] = 7
    zarr.create_array(tmp_path / "in.zarr", data=image)
    target = tmp_path / "o"
    with start(tmp_path / "in.zarr", target, "files of at most 600") as process:
        said = process.stdout.read()
    assert process.returncode == 1
    assert "cannot write pixels z 4 to 8" in said or "cannot write pixels z 8 to 12" in said
    kept = journaled(target)
    assert 0 < len(kept) < len(TILES)
    assert f"{len(kept)} of {len(TILES)} tiles are finished and kept" in said
    assert not list(target.rglob("*.partial"))
    made = predict_volume(net(), tmp_path / "in.zarr", target, plan(), progress=False)
    np.testing.assert_array_equal(made[:], expected(image))


@contextlib.contextmanager
def small_disk(folder, size):
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mount.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(source, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SECONDS", 0.0)  # or nothing is journaled before the disk is full
    whole = undisturbed(source, tmp_path / "whole")
    with small_disk(tmp_path / "disk", "128k"):  # 32 files of a page; each tile takes two, with its journal
        target = tmp_path / "disk" / "o"
        kept, message = stops(source, target, "cannot write")
        assert "No space left" in message
        assert 0 < kept < len(TILES)
        assert stops(source, target, "cannot write")[0] >= kept
        subprocess.run(["mount", "-o", "remount,size=64m", str(tmp_path / "disk")], check=True)
        assert undisturbed(source, target) == whole


@contextlib.contextmanager
def nobody():
    """Root writes where it may not; so become another user, whom files stop."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_target(source):
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        copy = folder / "in.zarr"
        shutil.copytree(source, copy)
        target = folder / "o"
        first = (slice(0, 4), slice(None), slice(None))
        predict_volume(net(), copy, target, plan(), region=first, progress=False)
        before, kept = stored(target), len(journaled(target))
        modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
        for path in modes:
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            with nobody():
                with pytest.raises(VolumeError, match=r"cannot claim the target .*PermissionError"):
                    predict_volume(net(), copy, target, plan(), progress=False)
                assert len(journaled(target)) == kept
                with pytest.raises(VolumeError, match=r"cannot write to the target .*PermissionError"):
                    predict_volume(net(), copy, folder / "p", plan(), progress=False)
        finally:
            for path, mode in modes.items():
                path.chmod(mode)
        assert stored(target) == before
        undisturbed(copy, target)


def test_an_error_of_the_network_keeps_what_is_finished(source, tmp_path):
    calls = []

    def stop(tile):
        calls.append(1)
        if len(calls) == 20:
            raise RuntimeError("the user's own")
        return True

    with pytest.raises(RuntimeError, match="the user's own"):
        predict_volume(net(), source, tmp_path / "o", plan(), where=stop, batch_size=1, progress=False)
    assert 0 < len(journaled(tmp_path / "o")) < len(TILES)
    assert not wrong(tmp_path / "o")
    undisturbed(source, tmp_path / "o")
