"""README.md keeps its word: its code runs as typed, and its numbers are those that the programs print."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from proofs_tests.fitting.small import NET, discs
from proofs_tests.support.report import CLAIMS
from shiftjax.__main__ import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
NUCLEI, TIFFS, NETWORK, VOLUME, NORMS, SUITE = (text for language, text in BLOCKS if language == "python")
COMMANDS = re.findall(r"^python -m shiftjax (.*)$", README, re.MULTILINE)
SHAPE = (8, 10, 12)  # of the volume: z, y, x
QUICK = {"train": ["--steps", "2"]}  # added to what is typed, which would take its minutes

MY_PACKAGE = '''
import jax.numpy as jnp

def pooled(image, factor):
    """Pools by a factor along each axis and goes back up; two channels."""
    for axis in range(1, image.ndim - 1):
        blocks = image.reshape(*image.shape[:axis], -1, factor, *image.shape[axis + 1 :])
        image = jnp.repeat(blocks.max(axis + 1), factor, axis) + image
    return jnp.concatenate([image, -image], -1)

def network(image):
    return pooled(image[:, 102:-102, 102:-102], 16)  # valid: 236 px give two periods, so there are few tiles to try

def network_3d(image):
    return pooled(image, 2)

def normed_3d(image):
    space = (1, 2, 3)
    wide = jnp.pad(image - image.mean(space, keepdims=True), ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
    image = jnp.maximum(wide[:, 2:], wide[:, :-2])
    return image / jnp.sqrt(image.var(space, keepdims=True) + 1e-5)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in, with the module and the volume that README.md names."""
    (tmp_path / "my_package.py").write_text(MY_PACKAGE)
    pixels = np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.uint8)
    zarr.create_array(tmp_path / "in.zarr", data=pixels)
    for name, number in {"images/1.tif": 1, "images/2.tif": 2, "new.tif": 3}.items():
        image, labels = discs((64, 80), seed=number)
        for path, array in (
            (tmp_path / name, image),
            (tmp_path / "labels" / f"{number}.tif", labels.astype(np.uint16)),
        ):
            path.parent.mkdir(exist_ok=True)
            tifffile.imwrite(path, array)
    (tmp_path / "labels" / "3.tif").unlink()
    monkeypatch.setattr("shiftjax.fitting._fit.default_network", lambda *words: NET)  # the default takes longer
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_package", raising=False)
    return tmp_path


def run(block):
    """The names that a block leaves behind."""
    names: dict[str, Any] = {}
    exec(block, names)
    return names


def lines(text):
    """Lines as they are compared: but for the empty ones, as they are."""
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def is_excerpt(shown, printed):
    """Whether lines are those printed, from the first to the last, but for what is left out where they say `...`."""
    at = 0
    for part in "\n".join(shown).split("\n...\n"):
        wanted = part.split("\n")
        places = range(at, len(printed)) if at else [0]
        start = next((k for k in places if printed[k : k + len(wanted)] == wanted), None)
        if start is None:
            return False
        at = start + len(wanted)
    return at == len(printed)


def test_your_own_network(capsys):
    names = run(NETWORK)
    printed = lines(capsys.readouterr().out)
    shown = lines(next(text for language, text in BLOCKS if language == "text"))
    assert is_excerpt(shown, printed), "README.md shows other lines than are printed:\n" + "\n".join(printed)
    assert names["plan"].equals_whole
    assert names["objects"].shape == names["labels"].shape
    some = (slice(None), slice(0, 64), slice(0, 64))
    embedding, mask, objects = names["embedding"][some], names["labels"][some] > 0, names["objects"][some]
    codes = names["sj"].mean_shift(embedding, bandwidth=0.5, mask=mask).labels
    assert len(np.unique(objects[mask])) > codes.max()  # one code stands for many objects


def test_control_other_lines_are_no_excerpt():
    assert is_excerpt(["a", "...", "d"], ["a", "b", "c", "d"])
    assert not any(is_excerpt(shown, ["a", "b", "c"]) for shown in (["a", "c"], ["b", "..."], ["a", "..."], ["c"]))


def test_nuclei_need_no_training(folder):
    labels = run(NUCLEI)["labels"]
    assert labels.shape == tifffile.imread(folder / "new.tif").shape
    assert labels.dtype.kind == "i"


def test_your_tiffs_to_a_label_tiff(folder, capsys):
    as_typed = TIFFS
    quick = as_typed.replace('out="model")', 'out="model", steps=2)')  # else it takes its minutes
    assert quick != as_typed
    run(quick)
    assert capsys.readouterr().out.startswith("AP50 ")
    assert tifffile.imread(folder / "labels.tif").shape == tifffile.imread(folder / "new.tif").shape
    assert (folder / "model" / "validation.png").exists()


def test_from_a_volume_to_labels(folder):
    run(VOLUME)
    assert zarr.open_array(folder / "out.zarr" / "labels" / "instances" / "0", mode="r").shape == SHAPE


def test_networks_with_norms_over_the_image(folder):
    names = run(NORMS)
    pixels, stored = (
        np.asarray(zarr.open_array(folder / name, mode="r")[:], np.float32) for name in ("in.zarr", "normed.zarr/0")
    )
    np.testing.assert_allclose(stored, np.moveaxis(names["fn"](pixels[None, ..., None])[0], -1, 0), atol=1e-5)
    assert (folder / "statistics.npz").exists()


def test_in_your_own_test_suite(folder):
    run(SUITE)["test_tiling_has_no_seams"]()


def test_command_lines(folder):
    for command in COMMANDS:
        words = shlex.split(command, comments=True)
        assert main(words + QUICK.get(words[0], [])) == 0, command
    assert len(COMMANDS) == 9


def test_every_claim_has_its_row():
    table = README.split("| claim | in words |")[1].split("\n\n")[0]
    rows = [row.split("|")[1].strip() for row in table.splitlines()[2:]]
    assert sorted(claim for row in rows for claim in row.split(", ")) == sorted(CLAIMS)


def test_every_extra_is_named():
    install = README.split("## Install")[1].split("##")[0]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [extra for extra in extras if f"`{extra}`" not in install] == []
