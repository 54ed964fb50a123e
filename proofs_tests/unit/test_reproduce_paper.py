"""The paper's table: claims reject what contradicts them, runs resume, and the page that is kept is that of its run."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread

from proofs_tests.support.experiments import plain, settings
from shiftjax import synthetic
from shiftjax._cli import reproduce_paper as command
from shiftjax._cli.train_synthetic import BAD_INPUT, INTERRUPTED
from shiftjax._experiments.data import seen
from shiftjax._experiments.experiment import Experiment, Scene, Training
from shiftjax._experiments.reproduction import spread, whole_run
from shiftjax._experiments.reproduction.claims import BEYOND, NAMES, PAPER, Check, claims, judge
from shiftjax._experiments.reproduction.measure import of_constant, of_objects
from shiftjax._experiments.reproduction.page import measured, page
from shiftjax._experiments.settings import EXPERIMENTS, IMAGES, find
from shiftjax._experiments.task import scene_task

KEPT = Path(__file__).parents[2] / "docs" / "reproduction"
PERIOD, PITCH = 4, 7
LARGEST = 150_000  # bytes of a figure

# What a network that does as the paper says would score, and one that contradicts it.
SEAMLESS = {
    "legal_tile": True,
    "seam_disagreement": 0.0,
    "grid_disagreement": 0.0,
    "seam_or_grid": 0.0,
    "seam_excess": 0.0,
    "false_splits": 0,
    "average_precision": 1.0,
}
CUT = {
    "legal_tile": False,
    "seam_disagreement": 1.0,
    "grid_disagreement": 1.0,
    "seam_or_grid": 1.0,
    "seam_excess": 0.3,
    "false_splits": 9,
    "average_precision": 0.3,
}
ALIKE, APART = {"codes": 1, "told_apart": 0.0, "repeat": 0.0}, {"codes": 16, "told_apart": 1.0, "repeat": 0.0}
AS_CLAIMED: dict[str, list[dict[str, Any]]] = {
    "const_inp_fixed": [ALIKE],
    "const_inp_learned": [APART],
    "const_inp_same": [{"codes": 900, "centre": 1}],
    "fl_spaced": [ALIKE | SEAMLESS],
    "fl-1_spaced_learned": [APART | SEAMLESS],
    "fl-1_spaced_fixed": [APART | SEAMLESS],
    "fl_spaced_elastic": [APART | SEAMLESS],
    "spheres_no_noise": [ALIKE | SEAMLESS],
    "spheres_noise": [APART | SEAMLESS],
    "spheres_noise_wrong_crop": [APART | CUT],
    "tile_consistent": [APART | SEAMLESS, APART | SEAMLESS],
    "tile_inconsistent_too_small": [APART | CUT, APART | CUT],
    "tile_inconsistent_wrong_crop": [APART | CUT],
    "tile_size_sweep": [APART | SEAMLESS, APART | CUT],
    "window_sweep": [{"train_window": size, "line_jump": float(size <= PERIOD)} for size in (3, 4, 5, 6, 8, 12)],
    "neighbouring_windows": [
        {"network": network, "line_jump": jump}
        for network, jump in zip(
            ("one large window", "windows of a period", "windows of less", "one period alone"),
            (0, 0, 1, 1),
            strict=True,
        )
    ],
    "codes_by_level": [{"levels": levels, "share": 1 / levels} for levels in (1, 2)],
    "codes_by_dimension": [
        {"ndim": ndim, "levels": levels, "share": 1 / levels} for ndim in (1, 2, 3) for levels in (1, 2, 3)
    ],
}
SAMPLED = [
    {"network": network, "tile": tile, "codes": 1 if network == "dilation" else PERIOD**2}
    | {"differs_from_whole": float(network != "dilation" and (tile % PERIOD > 0 or "each" in network))}
    for network in (
        "max pooling",
        "blur pooling",
        "dilation",
        "polyphase, phases of each tile",
        "polyphase, phases frozen",
    )
    for tile in (3 * PERIOD, 3 * PERIOD + 1)
]
TILED = [
    {"network": network, "legal_tile": legal, "line_jump": 0.0, "average_precision": 1.0}
    | {"differs_from_whole": 0.0 if legal and proved else 1.0, "splits_over_legal": 1.0 if legal else 2.0}
    for network, proved in {
        "valid": True,
        "window of one period": True,
        "same-padded": False,
        "instance norm, statistics frozen": True,
        "instance norm, statistics of each tile": False,
    }.items()
    for legal in (True, False)
]
AS_CLAIMED |= {"other_sampling": SAMPLED} | dict.fromkeys(IMAGES, TILED)
OTHERWISE = {"codes": 7, "centre": 4, "told_apart": 0.3, "repeat": 2.0, "average_precision": 0.5, "false_splits": 3}
OTHERWISE |= {"line_jump": 0.3, "share": 1.5, "differs_from_whole": 0.05, "splits_over_legal": 0.5}
SWAPPED = {"seam_disagreement": 0.3, "grid_disagreement": 0.3, "seam_or_grid": 0.3}


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_holds_where_it_should_and_control_nowhere_else(name):
    rows, checks = AS_CLAIMED[name], claims(name, PERIOD)
    contradicting = [row | {key: v for key, v in (OTHERWISE | SWAPPED).items() if key in row} for row in rows]
    undefined = [row | {check.score: np.nan for check in checks} for row in rows]
    row = judge(checks, [rows, contradicting, undefined])
    assert (row["holds"], row["replicas"]) == (1, 3)
    assert all(check["holds"] < 3 for check in row["checks"])


def test_a_check_looks_at_the_tile_that_contradicts_it_most():
    rows = [{"score": 0.2, "legal_tile": True}, {"score": 0.9, "legal_tile": False}]
    assert Check("", "score", most=0.5).measure(rows) == 0.9
    assert Check("", "score", least=0.5).measure(rows) == 0.2
    assert Check("", "score", most=0.5, of={"legal_tile": True}).measure(rows) == 0.2
    assert Check("", "score", 1, 1).expected == "1"


def _discs(code):
    """An embedding of discs on a lattice, each filled by a code of its own place, and the discs."""
    _, labels = (np.asarray(a) for a in synthetic.disc_lattice((70, 70), pitch=PITCH, radius=2.6))
    row, column = np.indices((70, 70)) // PITCH
    embedding = np.where(labels[0] > 0, code(row, column), 0)[None, ..., None] * np.ones(3, np.float32)
    return of_objects(embedding, labels, period=PERIOD, pitch=PITCH)


def test_what_is_measured_of_discs():
    by_phase = _discs(lambda i, j: 10 * (i % PERIOD) + 100 * (j % PERIOD))
    assert by_phase == {"codes": 16, "told_apart": 1.0, "repeat": 0.0}
    assert _discs(lambda i, j: 5 + 0 * i) == {"codes": 1, "told_apart": 0.0, "repeat": 0.0}
    rows_apart = _discs(lambda i, j: 10 * i)
    assert rows_apart["told_apart"] == 0.5
    assert rows_apart["repeat"] > 1


def test_what_is_measured_of_a_constant_image():
    row, column = np.indices((12, 12))
    labels = 1 + np.arange(144).reshape(1, 12, 12)
    periodic = (row % PERIOD + 10 * (column % PERIOD))[None, ..., None] * np.ones(3, np.float32)
    assert of_constant(periodic, labels, period=PERIOD) == {"codes": 16, "centre": 16, "repeat": 0.0}
    assert of_constant(periodic, labels, period=3)["repeat"] > 0


@pytest.mark.parametrize(
    ("values", "words"),
    [([1, 1], "1"), ([0.25, 0.5, 1], "0.50 (0.25 to 1)"), ([np.nan, 2], "2, 1 not defined"), ([np.nan], "not defined")],
)
def test_spread_in_words(values, words):
    assert measured(values) == words


TINY = Training(
    Scene("discs", 32, pitch=6, radius=2.2, origin=3), 30, levels=1, features=5, learning_rate=1e-2, steps=3, whole=True
)


@pytest.fixture
def tiny(monkeypatch):
    """All experiments in a size that trains in no time."""
    monkeypatch.setattr(
        whole_run, "find", lambda name, size: Experiment(name, {name: TINY}, 1.0, "as claimed", (4,), area=20)
    )


def test_a_tiny_run_from_training_to_page(tiny, tmp_path, capsys):
    names, others = ("fl_spaced", "spheres_no_noise"), ("--replicas", "2", "--size", "small")
    assert command.main(["--out", str(tmp_path / "run"), *others, "--only", *names]) == 0
    assert "spheres_no_noise" in capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    rows = {row["name"]: row for row in results["rows"]}
    assert list(rows) == list(NAMES)
    assert {name for name, row in rows.items() if "checks" in row} == set(names)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["const_inp_fixed"]  # of both
    one, other = (  # made twice from one training
        [[{**each, "network": ""} for each in own] for own in rows[name]["scores"].values()] for name in names
    )
    assert one == other
    assert one[0] != one[1]  # another seed
    assert (tmp_path / "run" / "results.md").read_text() == page(results)
    assert all((tmp_path / "run" / f"{name}.png").stat().st_size > 5000 for name in names)


def test_a_loss_sees_no_more_than_is_kept():
    """Labels are those of the window's first pixels, and nothing else of the output has a gradient."""
    training = replace(TINY, kept=3, whole=False)
    task, everything = scene_task(training), scene_task(replace(TINY, whole=False))
    (_, labels), (_, all_labels) = (each.sample(jax.random.key(1)) for each in (task, everything))
    assert labels.shape == (1, 3, 3)
    assert training.window == (3, TINY.window[1])
    output = jax.random.normal(jax.random.key(0), (*all_labels.shape, 3))
    both = ((task, labels), (everything, all_labels))
    seen, of_all = (np.any(np.asarray(jax.grad(each.loss)(output, own)) != 0, -1)[0] for each, own in both)
    assert seen[:3, :3].any()
    assert not seen[3:].any()
    assert not seen[:, 3:].any()
    assert of_all[3:].any()  # control: without `kept` the rest has one


@pytest.mark.parametrize("size", ["small", "paper"])
def test_trainings_that_differ_never_share_checkpoints(size):
    experiments = {name: find(name, size) for name in NAMES}
    trainings = [training for experiment in experiments.values() for training in experiment.trainings.values()]
    owners = [whole_run.owner(training, experiments) for training in trainings]
    for one, its in zip(trainings, owners, strict=True):
        assert all((one == other) == (its == of_other) for other, of_other in zip(trainings, owners, strict=True))
    names = [name for experiment in experiments.values() for name in experiment.trainings]
    assert len(set(names)) < len(set(owners))  # control: by their names alone some would


def test_neighbouring_windows_of_a_period_are_one_large_window():
    """Bit for bit, so that a loss over them has the gradients of one over the large window."""
    whole = replace(TINY, whole=False, kept=4)
    image, _ = synthetic.disc_lattice((32, 32), pitch=6, radius=2.2, origin=3)
    image = jnp.asarray(16 * image, jnp.int32)
    net = whole.net(param_dtype=jnp.int32)
    variables = net.init(jax.random.key(0), image[:, :30, :30])
    (_, period), size = net.period, whole.input_size

    def apart(kept, n):
        training = replace(whole, kept=kept, neighbours=n)
        starts = range(0, n * kept, kept)
        crops = [image[:, i : i + 30 - period, j : j + 30 - period] for i in starts for j in starts]
        return seen(jnp.asarray(net.apply(variables, jnp.concatenate(crops))), training)

    large = seen(jnp.asarray(net.apply(variables, image[:, :size, :size])), whole)
    assert np.array_equal(apart(period, 2), large)
    assert apart(1, 4).shape == large.shape
    assert not np.array_equal(apart(1, 4), large)  # control: windows of less than a period


def test_the_labels_of_neighbours_lie_under_their_windows():
    training = replace(TINY, whole=False, kept=2, neighbours=2, input_size=28)
    images, labels = jax.jit(scene_task(training).sample)(jax.random.key(2))
    size, offset = training.window
    assert images.shape[0] == 4
    assert labels.shape == (1, 4, 4)
    under = seen(images[:, offset:, offset:], training)[..., 0] > 0
    assert np.array_equal(under, labels > 0)
    assert 0 < under.mean() < 1
    beside = seen(images[:, offset + size :, offset:], training)[..., 0] > 0
    assert not np.array_equal(beside, labels > 0)


@pytest.mark.parametrize("name", spread.CURVES)
def test_the_curves_of_a_sweep_show_their_spread(name, tmp_path):
    curves = spread.CURVES[name]
    lines = 2 if curves.by else 1

    def pixels(width: float) -> np.ndarray:
        def row(x, which, value):
            place = f"network {x}" if curves.swept[0] == "network" else x
            more = {curves.legal: x > 1, "period": PERIOD} | ({curves.by: which} if curves.by else {})
            return {curves.swept[0]: place} | more | dict.fromkeys(curves.scores, value)

        scored = {
            seed: [row(x, which, 0.5 + which + width * (seed - 1)) for which in range(lines) for x in (1, 2, 4)]
            for seed in range(3)
        }
        spread.draw(scored, curves, tmp_path / "drawn.png")
        return imread(tmp_path / "drawn.png")

    narrow, wide = pixels(0.0), pixels(0.2)  # of the same median, and of axes as long
    assert narrow.std() > 0
    assert narrow.shape == wide.shape
    assert (narrow != wide).any()


def test_a_row_of_several_networks_has_the_scores_of_all(monkeypatch, tmp_path):
    module = importlib.import_module("shiftjax._experiments.reproduction.row")
    drawn = []
    monkeypatch.setattr(module, "run", lambda experiment, **options: experiment)
    monkeypatch.setattr(module, "scores", lambda run, training: {5: [{"kept": training.kept, "by": [*run.trainings]}]})
    monkeypatch.setattr(module.spread, "draw", lambda scored, *rest: drawn.append(scored))
    trainings = {"a": replace(TINY, kept=3), "b": replace(TINY, kept=5)}
    experiment = Experiment("window_sweep", trainings, 1.0, "as claimed", (4,))
    found = module.row(experiment, lambda training: f"of {training.kept}", out=tmp_path, seed=5, replicas=1)
    of_both = [{"network": "a", "kept": 3, "by": ["of 3"]}, {"network": "b", "kept": 5, "by": ["of 5"]}]
    assert found["scores"] == {"5": of_both}
    assert found["windows"] == [3, 5]
    assert [training["kept"] for training in found["trainings"]] == [3, 5]
    assert drawn == [{5: found["scores"]["5"]}]


@pytest.mark.deep
def test_a_row_run_again_has_the_same_numbers(tiny, tmp_path):
    rows = []
    for folder in ("run", "again"):
        assert command.main(["--out", str(tmp_path / folder), "--replicas", "2", "--only", "fl_spaced"]) == 0
        rows.append((tmp_path / folder / "rows" / "fl_spaced.json").read_bytes())
    assert rows[0] == rows[1]


def _stub(experiment, owner, *, out, seed, replicas, steps):
    """A row without training."""
    (out / f"{experiment.name}.png").write_bytes(b"")
    scores = {str(own): AS_CLAIMED[experiment.name] for own in range(seed, seed + replicas)}
    kept = {"windows": [8], "period": PERIOD, "steps": 3, "tiles": list(experiment.tiles), "trainings": [asdict(TINY)]}
    return {"name": experiment.name, "expected": experiment.expected, **kept, "scores": scores}


def test_an_interrupted_run_goes_on_to_the_same_files(tiny, tmp_path, monkeypatch, capsys):
    def run(name, stub):
        monkeypatch.setattr(whole_run, "row", stub)
        return command.main(["--out", str(tmp_path / name), "--replicas", "3", "--only", "beyond", "paper"])

    ran: list[str] = []

    def recorded(experiment, owner, **options):
        ran.append(experiment.name)
        return _stub(experiment, owner, **options)

    def interrupted(experiment, owner, **options):
        if len(ran) == 2:
            raise KeyboardInterrupt
        return recorded(experiment, owner, **options)

    assert run("undisturbed", _stub) == 0
    assert run("stopped", interrupted) == INTERRUPTED
    assert "continue with the same command" in capsys.readouterr().err
    assert (tmp_path / "stopped" / "results.md").read_text().count("not run |") == len(NAMES) - 2
    assert run("stopped", recorded) == 0
    assert ran == list(NAMES)
    for path in (tmp_path / "undisturbed").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "stopped" / path.relative_to(tmp_path / "undisturbed")).read_bytes()
    assert command.main(["--out", str(tmp_path / "stopped"), "--replicas", "2"]) == BAD_INPUT
    assert "other replicas" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "names"), [((), PAPER), (("beyond",), BEYOND), (("beyond", NAMES[0]), (NAMES[0], *BEYOND))]
)
def test_rows_are_asked_for_by_name_or_all_of_a_kind(words, names, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(whole_run, "row", _stub)
    assert command.main(["--out", str(tmp_path / "run"), *(["--only", *words] if words else [])]) == 0
    rows = json.loads((tmp_path / "run" / "results.json").read_text())["rows"]
    assert tuple(row["name"] for row in rows if "checks" in row) == names
    assert len(PAPER) == 14


def test_a_row_without_its_images_is_left_out(tiny, tmp_path, monkeypatch, capsys):
    def without_images(experiment, owner, **options):
        if experiment.name == "spheres_noise":
            raise ImportError("expected the package photographs")
        return _stub(experiment, owner, **options)

    monkeypatch.setattr(whole_run, "row", without_images)
    names = ["fl_spaced", "spheres_noise", "tile_consistent"]
    assert command.main(["--out", str(tmp_path / "run"), "--replicas", "2", "--only", *names]) == 0
    assert "spheres_noise: not run; expected the package photographs" in capsys.readouterr().out
    rows = json.loads((tmp_path / "run" / "results.json").read_text())["rows"]
    assert {row["name"] for row in rows if "checks" in row} == {"fl_spaced", "tile_consistent"}


def test_folders_that_hold_something_else_are_refused(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(whole_run, "row", _stub)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()
    assert command.main(["--out", str(tmp_path / "other")]) == BAD_INPUT
    assert "--out: expected a run" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["x"]
    words = ["--out", str(tmp_path / "run"), "--only", "fl_spaced"]
    assert command.main(words) == 0
    damaged = tmp_path / "run" / "rows" / "fl_spaced.json"
    damaged.write_text(damaged.read_text()[:40])
    assert command.main(words) == BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert str(damaged) in line
    assert "delete that file" in line


def kept(size):
    """What is kept of a size, and the folder."""
    folder = KEPT / "paper" if size == "paper" else KEPT
    return json.loads((folder / "results.json").read_text()), folder


@pytest.mark.parametrize("size", EXPERIMENTS)
def test_the_page_that_is_kept_is_that_of_the_run(size):
    results, folder = kept(size)
    assert results["run"]["size"] == size
    assert (folder / "results.md").read_text() == page(results)
    assert [row["name"] for row in results["rows"]] == list(NAMES)


@pytest.mark.parametrize("size", EXPERIMENTS)
def test_control_other_numbers_make_another_page(size):
    results, folder = kept(size)
    row = next(row for row in results["rows"] if "checks" in row)
    row["holds"] += 1
    assert (folder / "results.md").read_text() != page(results)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", EXPERIMENTS)
def test_a_row_that_is_kept_is_of_the_experiment_as_it_is_now(size, name):
    results, folder = kept(size)
    (row,) = (row for row in results["rows"] if row["name"] == name)
    if "checks" not in row:
        return
    experiment = find(name, size)
    now = [plain(training) for training in experiment.trainings.values()]
    assert [settings(training) for training in row["trainings"]] == now, f"run --only {name} again"
    assert row["tiles"] == list(experiment.tiles)
    judged = judge(claims(name, row["period"]), list(row["scores"].values()))
    assert json.dumps(judged) == json.dumps({key: row[key] for key in judged})
    assert 5000 < (folder / f"{name}.png").stat().st_size < LARGEST
