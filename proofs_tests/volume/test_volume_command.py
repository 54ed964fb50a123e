"""`plan` and `predict` on the command line: what they print, and 0, 1 or 2."""

from __future__ import annotations

import argparse
import json
import re
from contextlib import suppress
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import zarr

from proofs_tests.volume.small import expected, volume
from shiftjax.__main__ import main
from shiftjax._cli import options as shared
from shiftjax._cli.network import UsageError
from shiftjax._cli.options import memory
from shiftjax.volume import VolumeError, open_prediction

NET = ["--net", "proofs_tests.volume.small:net_int", "--dtype", "int32"]
HERE = "proofs_tests.volume.test_volume_command"
BLEND = f"{HERE}:centred"


def centred(image):
    """No network can be tiled that needs the mean of the whole image."""
    return image - jnp.mean(image, axis=(1, 2, 3), keepdims=True)


@pytest.fixture
def source(tmp_path):
    zarr.create_array(tmp_path / "in.zarr", data=volume(), chunks=(5, 6, 6))
    return str(tmp_path / "in.zarr")


def test_plan(source, capsys):
    assert main(["plan", *NET, source, "--tile", "4,8,8"]) == 0
    assert "36 tiles (4 x 3 x 3)" in capsys.readouterr().out
    assert main(["plan", *NET, "--shape", "1,13,18,22,1", "--tile", "4,8,8", "--pad", "edge", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["grid"], found["pad"]) == ([4, 3, 3], "edge")
    assert main(["plan", *NET, source, "--memory", "1MiB", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["memory"] <= 2**20
    assert main(["plan", *NET, source, "--tile", "4,8,8", "--stream", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stream"] == 0
    assert main(["plan", *NET, source, "--tile", "4,8,8", "--stream", "auto"]) == 0
    assert re.search(r"not streamed: along spatial axis \d a stream would take", capsys.readouterr().out)
    assert main(["plan", *NET, source, "--memory", "1MiB", "--stream", "never", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stream"] is None
    for wrong in ("3", "x", "-1"):
        with suppress(SystemExit):
            assert main(["plan", *NET, source, "--tile", "4,8,8", "--stream", wrong]) == 2
        assert "expected a spatial axis" in capsys.readouterr().err


def test_a_saved_plan_is_followed(source, tmp_path, capsys):
    saved = tmp_path / "p.json"
    assert main(["plan", *NET, source, "--tile", "4,8,8", "--pad", "edge", "--json"]) == 0
    saved.write_text(capsys.readouterr().out)
    net = ["--net", "proofs_tests.volume.small:net_int"]
    assert main(["predict", *net, source, str(tmp_path / "o"), "--plan", str(saved), "--quiet"]) == 0
    np.testing.assert_array_equal(open_prediction(tmp_path / "o")[:], expected(volume(), pad="edge"))
    assert open_prediction(tmp_path / "o").chunks == (2, 4, 8, 8)
    capsys.readouterr()
    for wrong, say in (
        (["--plan", str(saved), "--tile", "8"], "`--plan`, or any of `--tile`"),
        (["--plan", str(saved), "--memory", "1MiB"], "found both"),
        (["--plan", str(saved), "--pad", "edge"], "found both"),
        (["--plan", str(saved), "--dtype", "int32"], "found both"),
        (["--plan", str(tmp_path / "none.json")], "FileNotFoundError"),
        (["--plan", source + "/zarr.json"], "plan"),
    ):
        assert main(["predict", *net, source, str(tmp_path / "p"), *wrong]) == 2
        said = capsys.readouterr().err
        assert say in said
        assert said.count("\n") == 1
    assert main(["predict", "--net", f"{HERE}:embedded", source, str(tmp_path / "p"), "--plan", str(saved)]) == 2
    assert "`fn`: expected" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_a_saved_plan_is_followed_by_segment(tmp_path, capsys):
    zarr.create_array(tmp_path / "in.zarr", data=blobs())
    saved, image = tmp_path / "p.json", ["--axes", "yxc", str(tmp_path / "in.zarr")]
    assert main(["plan", "--net", f"{HERE}:halved", *image, "--tile", "8", "--json"]) == 0
    saved.write_text(capsys.readouterr().out)
    asked = ["--plan", str(saved), "--bandwidth", "1", "--foreground", "0", "--quiet"]
    for name, net in (("stored", []), ("computed", ["--net", f"{HERE}:halved"])):
        assert main(["segment", *net, *image, str(tmp_path / name), *asked]) == 0
        assert capsys.readouterr().out.endswith("labels/instances: 4 objects\n")


def test_predict(source, tmp_path, capfd):
    asked = ["predict", *NET, source, str(tmp_path / "o"), "--tile", "8"]
    assert main([*asked, "--region", "0:8,:,:8", "--target-dtype", "int64"]) == 0
    assert "tiles/s" in capfd.readouterr().err
    with pytest.raises(VolumeError, match=r"is not finished: 3 of 18 tiles .*`region=`"):
        open_prediction(tmp_path / "o")
    found = open_prediction(tmp_path / "o", region=(slice(0, 8), slice(None), slice(0, 8)))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found[:, :8, :, :8], expected(volume())[:, :8, :, :8])
    assert not found[:, 8:].any()
    assert main([*asked, "--target-dtype", "int64", "--quiet", "--new"]) == 1  # it exists
    said = capfd.readouterr().err
    assert said.startswith("Stopped: the target")
    assert said.count("\n") == 1
    assert main([*asked, "--target-dtype", "int64", "--quiet"]) == 0
    np.testing.assert_array_equal(found[:], expected(volume()))
    assert capfd.readouterr().err == ""


def test_predict_with_preprocessing(source, tmp_path):
    more = ["--preprocess", "proofs_tests.volume.small:times_three", "--quiet", "--tile", "8", "--zarr-format", "2"]
    assert main(["predict", *NET, source, str(tmp_path / "o"), *more]) == 0
    np.testing.assert_array_equal(open_prediction(tmp_path / "o")[:], expected(volume().astype(np.int32) * 3 - 7))
    assert (tmp_path / "o" / ".zgroup").exists()
    scaled = ["predict", "--net", "proofs_tests.volume.small:net_int", source, str(tmp_path / "p"), "--quiet"]
    assert main([*scaled, "--normalize", "1,99", "--tile", "8", "--dtype", "float32"]) == 2  # whole numbers and floats


def blobs():
    """Four squares of two codes on a background: embeddings (y, x, channel), channel 0 above 0 in squares."""
    found = np.zeros((20, 20, 3), np.float32)
    found[..., 0] = -1
    for k, (y, x) in enumerate([(2, 2), (2, 12), (12, 2), (12, 12)]):
        found[y : y + 6, x : x + 6] = (1, 5 * (k % 2), 5 - 5 * (k % 2))
    return found


def halved(image):
    """For the command line: a network whose embedding is half of its image."""
    return image / 2


def embedded(image):
    """For the command line: two channels from one."""
    return jnp.concatenate([image, 3 - image], axis=-1)


def test_segment(tmp_path, capsys):
    zarr.create_array(tmp_path / "in.zarr", data=blobs())
    asked = ["segment", str(tmp_path / "in.zarr"), str(tmp_path / "o"), "--axes", "yxc", "--tile", "8", "--quiet"]
    assert main([*asked, "--bandwidth", "1", "--foreground", "0"]) == 0
    assert capsys.readouterr().out.endswith("labels/instances: 4 objects\n")
    labels: Any = zarr.open_array(tmp_path / "o" / "labels" / "instances" / "0")[:]
    assert [labels[y, x] for y, x in ((4, 4), (4, 14), (14, 4), (14, 14))] == [1, 2, 3, 4]
    np.testing.assert_array_equal(labels > 0, blobs()[..., 0] > 0)
    assert main([*asked, "--bandwidth", "1", "--foreground", "0", "--new"]) == 1  # it exists
    assert main([*asked, "--bandwidth", "1", "--foreground", "0"]) == 0
    assert main([*asked, "--bandwidth", "1", "--foreground", "3"]) == 2
    assert main([*asked, "--bandwidth", "-1"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == ["Stopped", *["python -m shiftjax segment"] * 2]


def test_segment_from_the_image(tmp_path, capsys):
    zarr.create_array(tmp_path / "in.zarr", data=blobs()[..., 1].round().astype(np.float32))
    zarr.create_array(tmp_path / "mask.zarr", data=blobs()[..., 0] > 0)
    net = f"{HERE}:embedded"
    asked = ["segment", "--net", net, str(tmp_path / "in.zarr"), str(tmp_path / "o"), "--tile", "8", "--quiet"]
    assert main([*asked, "--bandwidth", "1", "--mask", str(tmp_path / "mask.zarr"), "--name", "cells"]) == 0
    assert capsys.readouterr().out.endswith("labels/cells: 4 objects\n")


def test_segment_with_preprocessing(tmp_path, capsys):
    zarr.create_array(tmp_path / "in.zarr", data=(1000 * blobs()[..., 1]).round().astype(np.uint16))
    zarr.create_array(tmp_path / "mask.zarr", data=blobs()[..., 0] > 0)
    net = f"{HERE}:embedded"
    asked = ["segment", "--net", net, str(tmp_path / "in.zarr"), str(tmp_path / "o"), "--tile", "8", "--quiet"]
    asked += ["--mask", str(tmp_path / "mask.zarr"), "--bandwidth", "0.3"]
    assert main([*asked, "--normalize", "0,100"]) == 0
    assert capsys.readouterr().out.endswith("labels/instances: 4 objects\n")
    provenance: Any = zarr.open_group(tmp_path / "o" / "labels" / "instances").attrs["shiftjax"]
    assert provenance["preprocess"] != "none"
    own = ["--preprocess", f"{HERE}:thousandth", "--name", "own"]
    assert main([*asked, *own]) == 0
    assert main([*asked, *own, "--normalize", "0,100"]) == 2
    alone = [word for word in asked if word not in ("--net", net)]
    assert main([*alone, "--normalize", "0,100"]) == 2
    assert "`--net`" in capsys.readouterr().err.splitlines()[-1]


def thousandth(image):
    return image.astype(jnp.float32) / 1000


def own_fault(image):
    raise RuntimeError("the user's own\nfault")


def full_disk():
    raise VolumeError("full")


def test_what_cannot_be_tiled(source, tmp_path, capsys):
    for asked in (["plan", "--net", BLEND, source], ["predict", "--net", BLEND, source, str(tmp_path / "o")]):
        assert main(asked) == 1
        assert capsys.readouterr().err.startswith("No certificate: `")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("asked", "say"),
    [
        (["plan", *NET], "expected a volume or `--shape`"),
        (["plan", *NET, "nowhere.zarr"], "`source`"),
        (["plan", "--net", "nowhere:net", "--shape", "1,8,8,8,1"], "cannot load"),
        (["plan", *NET, "--shape", "1,8,8,8,1", "--memory", "10"], "`memory_bytes`"),
        (["plan", *NET, "--shape", "1,8,8,8,1", "--dtype", "int7"], "int7"),
        (["predict", "--net", f"{HERE}:own_fault", "SOURCE", "o", "--tile", "8"], "RuntimeError: the user's own fault"),
        (["predict", *NET, "SOURCE", "o", "--axes", "zy"], "`axes`"),
        (["predict", *NET, "SOURCE", "o", "--region", "0:8"], "`region`"),
        (["predict", *NET, "SOURCE", "o", "--normalize", "1,99", "--preprocess", "a:b"], "found both"),
        (["predict", *NET, "SOURCE", "o", "--normalize", "99,1"], "`high`"),
        (["predict", *NET, "SOURCE", "o", "--preprocess", "proofs_tests.volume.small:convolve"], "preprocess"),
        (["predict", *NET, "SOURCE", "o", "--zarr-format", "2", "--target-dtype", "bfloat16"], "Zarr v2"),
    ],
)
def test_bad_usage_is_one_line(asked, say, source, tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(".")
    asked = [source if word == "SOURCE" else str(tmp_path / "o") if word == "o" else word for word in asked]
    assert main(asked) == 2
    said = capsys.readouterr().err
    assert say in said
    assert said.startswith(f"python -m shiftjax {asked[0]}: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_any_error_of_the_network_is_one_line():
    with pytest.raises(UsageError, match=r"^RuntimeError: the user's own fault$"), shared.usage_errors():
        own_fault(None)
    with pytest.raises(VolumeError), shared.usage_errors():  # exit code 1, and what is finished is kept
        full_disk()


@pytest.mark.parametrize("asked", [["--memory", "much"], ["--memory", "0"], ["--tile", "a"], ["--level", "x"]])
def test_bad_options_exit_with_2(asked, source, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["plan", *NET, source, *asked])
    assert "error: argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("2GiB", 2**31),
        ("2G", 2**31),
        ("1.5 MiB", 3 * 2**19),
        ("500kb", 500 * 2**10),
        ("1T", 2**40),
        ("7", 7),
        ("7B", 7),
    ],
)
def test_sizes(text, count):
    assert memory(text) == count


@pytest.mark.parametrize("text", ["", "GiB", "-1G", "1X", "0.5"])
def test_bad_sizes(text):
    with pytest.raises(argparse.ArgumentTypeError, match="2GiB"):
        memory(text)
