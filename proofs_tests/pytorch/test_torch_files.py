"""Files of networks: `.pt2` is opened and runs no code, others are refused in words."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.export import Dim

import shiftjax as sj
from proofs_tests.pytorch.networks import by_torch, close, image, small
from shiftjax.__main__ import main


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Exported for all sizes that the module takes."""
    place = tmp_path_factory.mktemp("models") / "small.pt2"
    shapes = {"x": {2: Dim.AUTO, 3: Dim.AUTO}}
    torch.export.save(torch.export.export(small(), (torch.zeros(1, 1, 32, 48),), dynamic_shapes=shapes), place)
    return place


@pytest.mark.filterwarnings("ignore")
def test_a_file_is_the_module(path):
    net = sj.open_model(path)
    x = image(1, 46, 52, 1)
    assert close(net(x), by_torch(small(), x))
    plan = sj.plan_tiles(net, x.shape, pad=None, tile=16)
    assert np.prod(plan.grid) > 1
    assert close(sj.predict_tiled(net, x, plan), by_torch(small(), x))
    certificate = sj.certify(net, jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32))
    assert all("networks.py" in step.source for step in certificate.steps)


@pytest.mark.filterwarnings("ignore")
def test_a_file_of_one_size_takes_that_size():
    program = torch.export.export(small(), (torch.zeros(1, 1, 32, 32),))
    net = sj.from_torch(program)
    assert net(image(1, 32, 32, 1)).shape == (1, 32, 32, 2)
    with pytest.raises(ValueError, match="does not take an image"):
        net(image(1, 34, 32, 1))


@pytest.mark.filterwarnings("ignore")
def test_a_file_of_one_image_at_a_time(path):
    """It takes no batches, which a plan for the module itself has."""
    plan = sj.plan_tiles(sj.from_torch(small()), (1, 46, 52, 1), tile=16)
    assert plan.batch_size > 1
    net, x = sj.open_model(path), image(1, 46, 52, 1)
    with pytest.raises(ValueError, match="batch_size=1"):
        sj.predict_tiled(net, x, plan)
    assert sj.predict_tiled(net, x, plan, batch_size=1).shape == (1, 46, 52, 2)


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.onnx", "net.keras", "rdf.yaml", "net.ckpt", "zoo.zip"])
def test_other_files_are_refused_in_words(name, tmp_path):
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"expected a \.pt2 file"):
        sj.open_model(tmp_path / name)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def changed(path: Path, to: Path, part: str, change) -> Path:
    """The archive with one part changed."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(to, "w") as new:
        for entry in archive.infolist():
            data = archive.read(entry)
            _, _, name = entry.filename.partition("/")
            new.writestr(f"{to.stem}/{name}", change(data) if name == part else data)
    return to


def with_guard(text: str):
    def change(data: bytes) -> bytes:
        model = json.loads(data)
        model["guards_code"].append(text)
        return json.dumps(model).encode()

    return change


MODEL = "models/model.json"


@pytest.mark.filterwarnings("ignore")
def test_no_code_of_a_file_is_run(path, tmp_path):
    trap = tmp_path / "sprung"
    pickled = io.BytesIO()
    torch.save(Trap(trap), pickled)
    attacks = {
        "pickle": ("data/sample_inputs/model.pt", lambda data: pickled.getvalue()),
        "call": (MODEL, with_guard(f"__import__('os').mkdir('{trap}') == 0")),
        "attribute": (MODEL, with_guard("L['x'].__class__ == 0")),
        "formula": (MODEL, lambda data: data.replace(b"Symbol(", b"lambdify(", 1)),
        "target": (MODEL, lambda data: data.replace(b"torch.ops.aten.relu_.default", b"os.system", 1)),
        "name": (MODEL, lambda data: data.replace(b'"name": "x"', b'"name": "x=print(1)"')),
        "object": ("data/constants/model_constants_config.json", lambda data: json.dumps({"config": {
            "a": {"path_name": "custom_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}}}).encode()),
    }  # fmt: skip
    for name, (part, change) in attacks.items():
        with pytest.raises(ValueError, match="of tensors, names and arithmetic"):
            sj.open_model(changed(path, tmp_path / f"{name}.pt2", part, change))
    assert not trap.exists()
    sj.open_model(changed(path, tmp_path / "control.pt2", MODEL, lambda data: data))


def test_damaged_files(tmp_path):
    (tmp_path / "net.pt2").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"torch\.export\.save"):
        sj.open_model(tmp_path / "net.pt2")
    with pytest.raises(ValueError, match="no file"):
        sj.open_model(tmp_path / "other.pt2")


@pytest.mark.filterwarnings("ignore")
def test_command_lines_take_files_and_modules(path, capsys):
    assert main(["certify", str(path), "--shape", "1,32,32,1"]) == 0
    assert "networks.py" in capsys.readouterr().out
    assert main(["certify", "proofs_tests.pytorch.networks:small", "--shape", "1,32,32,1"]) == 0
    assert "Certificate of Small" in capsys.readouterr().out
    assert main(["certify", "proofs_tests.pytorch.networks:Small", "--shape", "1,32,32,1"]) == 2
    assert "call `module.eval()`" in capsys.readouterr().err
