"""The command line of the experiments, as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from shiftjax import synthetic
from shiftjax._cli import train_synthetic as command
from shiftjax._experiments import data, labelled, nuclei
from shiftjax._experiments.evaluate import Stitched, Whole, departure, score, seam_excess, seamless, seams
from shiftjax._experiments.settings import (
    DEFAULT,
    DIMENSIONS,
    EXPERIMENTS,
    IMAGES,
    LEVELS,
    NEIGHBOURS,
    SAMPLING,
    SWEEP,
    WINDOWS,
)

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_synthetic.py"
ROW = {
    "name",
    "train_window",
    "tile",
    "period",
    "legal_tile",
    "legal_window",
    "equals_whole",
    "seam_excess",
    "seam_disagreement",
    "grid_disagreement",
    "false_splits",
    "false_merges",
    "average_precision",
    "distinct_embeddings",
}
PAPER = {
    "const_inp_fixed": (48, 12),
    "const_inp_learned": (236, 32),
    "const_inp_same": (40, 40),
    "fl_spaced": (220, 128),
    "fl-1_spaced_learned": (220, 128),
    "fl-1_spaced_fixed": (220, 128),
    "fl_spaced_elastic": (236, 48),
    "spheres_no_noise": (236, 48),
    "spheres_noise": (236, 48),
    "spheres_noise_wrong_crop": (236, 52),
    "tile_consistent": (204, 20),
    "tile_inconsistent_too_small": (204, 16),
    "tile_inconsistent_wrong_crop": (204, 20),
}


def _run(*arguments):
    return command.main([str(a) for a in arguments])


@pytest.mark.parametrize(("name", "sizes"), PAPER.items())
def test_the_papers_experiments_have_the_papers_windows(name, sizes):
    (training,) = EXPERIMENTS["paper"][name].trainings.values()
    assert (training.input_size, training.window[0]) == sizes
    assert name in EXPERIMENTS["small"]


@pytest.mark.parametrize("name", EXPERIMENTS["small"])
def test_small_experiments_have_two_levels_and_few_steps(name):
    for training in EXPERIMENTS["small"][name].trainings.values():
        assert training.steps <= 3000
        assert training.levels == 2 or name in ("nuclei", LEVELS, DIMENSIONS)


def test_no_stitching_hides_its_seams_by_a_tile_as_large_as_the_pitch():
    for experiments in EXPERIMENTS.values():
        for experiment in experiments.values():
            pitches = {training.scene.pitch for training in experiment.trainings.values()}
            assert not pitches & set(experiment.tiles)


def test_the_list_names_every_experiment(capsys):
    assert _run("--list") == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == {
        DEFAULT,
        SWEEP,
        WINDOWS,
        NEIGHBOURS,
        LEVELS,
        DIMENSIONS,
        SAMPLING,
        *IMAGES,
        "nuclei",
        *PAPER,
    }


def test_a_short_run_writes_metrics_and_figure(tmp_path, capsys):
    out, name = tmp_path / "run", "tile_inconsistent_wrong_crop"
    assert _run("--experiment", name, "--steps", 2, "--replicas", 2, "--seed", 3, "--out", out) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["experiment"] == name
    assert metrics["config"]["seed"] == 3
    assert [row["tile"] for row in metrics["stitchings"]] == 2 * list(EXPERIMENTS["small"][name].tiles)
    for row in metrics["stitchings"]:
        assert set(row) >= ROW
        assert row["legal_tile"] == (row["tile"] % row["period"] == 0) == row["equals_whole"]
        assert row["legal_window"] == (row["train_window"] > row["period"])
        assert not seamless(row)
    assert (out / "figure.png").stat().st_size > 10_000
    assert f"{name}/seed 4" in capsys.readouterr().out


@pytest.fixture(scope="module")
def constant(tmp_path_factory):
    """The options of a run that is finished, and its folder."""
    out = tmp_path_factory.mktemp("constant") / "run"
    options = ("--experiment", "const_inp_fixed", "--steps", 1, "--out", out)
    assert _run(*options) == 0
    return options, out


def test_a_constant_experiment_counts_embeddings(constant):
    (outcome,) = json.loads((constant[1] / "metrics.json").read_text())["outcomes"]
    assert outcome["distinct_embeddings"] == 1


@pytest.mark.parametrize(("window", "period", "legal"), [(4, 4, False), (5, 4, True), (3, 4, False)])
def test_a_window_is_legal_from_one_pixel_above_the_period(window, period, legal):
    labels = np.zeros((1, 8, 8), np.int32)
    labels[:, 1:4, 1:4] = 1
    plan: Any = SimpleNamespace(
        tile_output=(4, 4), tile_stride=(4, 4), origin=(0, 0), period=(period,) * 2, legal=True, equals_whole=True
    )
    embedding = np.zeros((1, 8, 8, 2), np.float32)
    stitched = Stitched(plan, embedding, embedding, labels, labels, False)
    assert score(stitched, Whole(embedding, embedding), train_window=window)["legal_window"] == legal


TILE = 6


@pytest.fixture(scope="module")
def fields():
    """Objects in a 24 x 24 image, a random embedding of it, and that embedding moved in every other tile."""
    rng = np.random.default_rng(0)
    true = np.zeros((1, 24, 24), np.int32)
    true[:, 1:11, 2:20], true[:, 13:22, 1:9], true[:, 14:20, 11:23] = 1, 2, 3
    embedding = rng.normal(size=(1, 24, 24, 3)).astype(np.float32)
    row, column = np.indices((24, 24)) // TILE
    moved = embedding + ((row + column) % 2)[None, ..., None] * np.float32(6)
    return true, embedding, moved


def _stitching(true, embedding, tile=TILE):
    plan: Any = SimpleNamespace(tile_stride=(tile,) * 2, origin=(0, 0), period=(4, 4))
    return Stitched(plan, embedding, embedding, true, true, False)


def _jump_by_hand(embedding, true):
    """Mean distance of two neighbours of one object across a seam, in root mean square distances of two pixels."""
    jumps = [
        np.linalg.norm(embedding[0, i, j].astype(float) - embedding[0, i - di, j - dj])
        for di, dj in ((1, 0), (0, 1))
        for i in range(di, 24)
        for j in range(dj, 24)
        if true[0, i, j] == true[0, i - di, j - dj] > 0 and (i * di + j * dj) % TILE == 0
    ]
    return np.mean(jumps) / np.sqrt(2 * embedding[true > 0].astype(float).var(axis=0).sum())


def test_seam_excess_counts_what_the_whole_picture_lacks(fields):
    true, embedding, moved = fields
    whole = Whole(embedding, embedding)
    assert seam_excess(_stitching(true, embedding), whole) == 0.0
    expected = _jump_by_hand(moved, true) - _jump_by_hand(embedding, true)
    assert np.isclose(seam_excess(_stitching(true, moved), whole), expected, rtol=1e-5)
    assert expected > 0.1


def test_seam_excess_cancels_the_lines_of_the_whole_picture(fields):
    true, embedding, moved = fields
    assert seam_excess(_stitching(true, moved), Whole(moved, moved)) == 0.0
    assert seam_excess(_stitching(true, embedding), Whole(moved, moved)) < -0.1


def test_a_departure_is_the_distance_in_standard_deviations(fields):
    true, embedding, moved = fields
    whole = Whole(embedding, embedding)
    assert not departure(_stitching(true, embedding), whole).any()
    row, column = np.indices((24, 24)) // TILE
    expected = np.where((row + column) % 2, 6 * np.sqrt(3), 0) / embedding.std()
    assert np.allclose(departure(_stitching(true, moved), whole)[0], expected, rtol=1e-4)


def test_the_sampler_labels_the_pixels_under_the_output_window():
    training = EXPERIMENTS["small"]["tile_consistent"].trainings["tile_consistent"]
    image, labels = jax.jit(data.crops(training))(jax.random.key(0))
    window, offset = training.window
    under = image[0, offset : offset + window, offset : offset + window, 0]
    assert np.array_equal(under > 0, labels[0] > 0)
    beside = image[0, offset + 1 : offset + 1 + window, offset : offset + window, 0]
    assert not np.array_equal(beside > 0, labels[0] > 0)
    assert labels.max() < data.max_instances(training)


def test_held_out_nuclei_are_never_trained_on():
    image = np.arange(400 * 320, dtype=np.float32).reshape(400, 320)
    task = partial(labelled.task, nuclei.halves(nuclei.LabelledImage(image, np.ones((400, 320), np.int32))))
    training = EXPERIMENTS["small"]["nuclei"].trainings["nuclei"]
    unseen = task(training).picture(0, jax.random.key(0)).image
    sample = jax.jit(task(training).sample)
    highest = max(float(sample(jax.random.key(s))[0].max()) for s in range(3))
    assert highest <= 1.25 * float(unseen.min())  # brightness varies by a quarter at most


@pytest.mark.parametrize("n", [1, 2, 3])
def test_binning_averages_the_pixels_and_keeps_the_label_of_a_centre(n):
    image, labels = np.arange(56.0).reshape(7, 8), np.arange(56).reshape(7, 8)
    both = labelled.binned(labelled.Images(image[None], labels[None]), n)
    (pixels,), (objects,) = both.pixels, both.labels
    assert pixels.shape == objects.shape == (7 // n, 8 // n)
    for i, j in np.ndindex(pixels.shape):
        assert pixels[i, j] == image[i * n : i * n + n, j * n : j * n + n].mean()
        assert objects[i, j] == labels[i * n + n // 2, j * n + n // 2]
    assert (pixels[0, 0] == image[0, 0]) == (n == 1)


def test_nan_is_neither_seamless_nor_seams():
    row = {"seam_disagreement": 0.0, "grid_disagreement": 0.0, "false_splits": 0, "average_precision": 1.0}
    assert seamless(row)
    for name in ("seam_disagreement", "grid_disagreement", "average_precision"):
        assert not seamless({**row, name: np.nan})
    assert not seams({**row, "seam_disagreement": np.nan, "grid_disagreement": np.nan})
    for worse in ({"false_splits": 1}, {"average_precision": 0.5}, {"grid_disagreement": 0.2}):
        assert not seamless({**row, **worse})


def test_a_folder_is_never_overwritten(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert _run("--out", tmp_path) == 2
    assert "add --resume, or choose another --out" in capsys.readouterr().err
    assert _run("--out", tmp_path, "--resume") == 2
    assert "no readable config.json" in capsys.readouterr().err
    assert _run("--out", tmp_path / "typo", "--resume") == 2
    assert "no such folder" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt"]


def test_resuming_with_other_options_is_refused(constant, capsys):
    options, out = constant
    before = (out / "metrics.json").read_bytes()
    assert _run(*options, "--resume") == 0
    assert "finished already" in capsys.readouterr().out
    assert (out / "metrics.json").read_bytes() == before
    assert _run(*options, "--resume", "--seed", 1) == 2
    assert "other seed" in capsys.readouterr().err


def test_an_unknown_experiment_lists_the_known(tmp_path, capsys):
    assert _run("--experiment", "tiles", "--out", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert all(name in error for name in EXPERIMENTS["small"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "option",
    [("--steps", "-1"), ("--seed", "1" + 30 * "0"), ("--replicas", "0"), ("--dtype", "int8"), ("--size", "big")],
)
def test_bad_values_are_usage_errors(option):
    with pytest.raises(SystemExit) as leaving:
        _run(*option)
    assert leaving.value.code == 2


def _tiffs(folder, image, labels):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(folder / "image.tif", image)
    tifffile.imwrite(folder / "labels.tif", labels)
    return "--experiment", "nuclei", "--image", folder / "image.tif", "--labels", folder / "labels.tif"


def test_nuclei_from_files(tmp_path):
    image, labels = jax.jit(partial(synthetic.nuclei, shape=(400, 300), count=30))(jax.random.key(0))
    files = _tiffs(tmp_path, np.asarray(image[0, ..., 0]), np.asarray(labels[0]).astype(np.uint16))
    assert _run(*files, "--steps", 1, "--out", tmp_path / "run") == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    for row in metrics["stitchings"]:
        assert row["period"] == 16
        # Tiles of another size round differently, so legal ones repeat the whole image up to some 1e-7.
        repeats = abs(row["seam_excess"]) < 1e-5 and row["differs_from_whole"] < 1e-5
        assert repeats == row["legal_tile"] == (row["tile"] % 16 == 0)


@pytest.mark.parametrize(
    ("image", "labels", "words"),
    [
        (np.zeros((40, 40), np.float32), np.ones((40, 40), np.uint8), "at least 140 px per axis"),
        (np.zeros((200, 200), np.float32), np.zeros((200, 200), np.uint8), "expected objects in the last 25%"),
        (np.zeros((40, 40), np.float32), np.full((40, 40), -1, np.int32), "labels down to -1"),
        (np.zeros((40, 40), np.float32), np.zeros((40, 41), np.uint8), "labels of its shape"),
        (np.full((40, 40), np.nan, np.float32), np.zeros((40, 40), np.uint8), "NaN or infinite"),
        (np.zeros((40, 40), np.float32), np.zeros((40, 40), np.float32), "expected integer labels"),
    ],
)
def test_bad_images_are_refused(tmp_path, capsys, image, labels, words):
    assert _run(*_tiffs(tmp_path, image, labels), "--out", tmp_path / "run") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_images_belong_to_nuclei_only(tmp_path, capsys):
    assert _run("--image", tmp_path / "a.tif", "--out", tmp_path / "run") == 2
    assert "with --experiment nuclei or images_nuclei, or" in capsys.readouterr().err


def _start(out, *more):
    options = ("--experiment", "tile_consistent", "--steps", "700", "--out", str(out))
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *options, *more],
        env={**os.environ, "XLA_FLAGS": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert _start(out).wait(300) == 0
    return json.loads((out / "metrics.json").read_text())


@pytest.mark.deep  # `test_training.py` has the same of a small network
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_resumes_to_the_same_result(tmp_path, how, undisturbed):
    out = tmp_path / "run"
    process = _start(out)
    while not (out / "checkpoints" / "tile_consistent" / "500").exists():
        assert process.poll() is None, "the run ended before it could be interrupted"
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait(60) == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert not (out / "metrics.json").exists()
    assert _start(out, "--resume").wait(300) == 0
    assert json.loads((out / "metrics.json").read_text())["stitchings"] == undisturbed["stitchings"]
