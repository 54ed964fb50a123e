"""docs/pytorch.md keeps its word: its code and its commands run as typed."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

import shiftjax as sj
from proofs_tests.pytorch.networks import by_torch, close, small
from shiftjax.__main__ import main

PAGE = (Path(__file__).parents[2] / "docs" / "pytorch.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^python -m shiftjax (.*)$", PAGE, re.MULTILINE)
PIXELS = np.random.default_rng(0).integers(0, 200, (64, 72)).astype(np.uint8)


@pytest.mark.filterwarnings("ignore")
def test_the_page_runs_as_typed(tmp_path, monkeypatch):
    (tmp_path / "my_package.py").write_text("from proofs_tests.pytorch.networks import small\n\nmodel = small()\n")
    zarr.create_array(tmp_path / "in.zarr", data=PIXELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(block, names)
    low, high = np.percentile(PIXELS, (1, 99.8))
    scaled = ((PIXELS.astype(np.float32) - low) / (high - low))[None, ..., None].astype(np.float32)
    found = np.moveaxis(np.asarray(sj.volume.open_prediction("out.zarr")), 0, -1)
    assert close(found[None], by_torch(small(), scaled), 1e-4)
    assert sj.open_model("net.pt2")(scaled).shape == (1, 64, 72, 2)
    assert len(COMMANDS) == 2
    for command in COMMANDS:
        assert main([*shlex.split(command), *(["--quiet"] if command.startswith("predict") else [])]) == 0
    assert os.path.exists("predicted.zarr")
    sys.modules.pop("my_package")
