"""The tile size sweep: where its curves dip, what it sweeps over, and its figure."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from shiftjax import metrics, synthetic
from shiftjax._cli import train_synthetic as command
from shiftjax._experiments import sweep, sweep_figure
from shiftjax._experiments.data import Picture, render
from shiftjax._experiments.evaluate import Stitched, key_of, score, stitch, whole_picture
from shiftjax._experiments.run import Result
from shiftjax._experiments.settings import EXPERIMENTS, SWEEP
from shiftjax._experiments.task import scene_task
from shiftjax.nets import UNet
from shiftjax.testing import phase_code
from shiftjax.tiling import plan_tiles, predict_tiled

PERIOD, PITCH, RADIUS = 8, 7, 2.6


def _rows(curve, *, period=PERIOD, start=8):
    return [
        {"name": "net", "tile": tile, "period": period, "train_window": 20, "seam_disagreement": v, "false_splits": v}
        for tile, v in enumerate(curve, start)
    ]


PREDICTED = [0.0 if tile % PERIOD == 0 else 200 / tile for tile in range(8, 25)]


def test_dips_at_the_multiples_of_the_period_are_as_predicted():
    rows = _rows(PREDICTED)
    assert sweep.dips(sweep.curve(rows[::-1], "false_splits")) == sweep.multiples(rows) == [8, 16, 24]
    assert sweep.as_predicted(rows)
    assert "NOT" not in sweep.summary(rows)


@pytest.mark.parametrize("wrong", ["earlier", "later", "flat", "zero", "wide", "one more", "one less", "unknown"])
def test_other_curves_are_not_as_predicted(wrong):
    curve = {
        "earlier": [*PREDICTED[1:], 9.0],
        "later": [9.0, *PREDICTED[:-1]],
        "flat": [9.0] * 17,
        "zero": [0.0] * 17,
        "wide": [0.0 if tile % 8 < 2 else 9.0 for tile in range(8, 25)],
        "one more": [0.0 if tile == 12 else v for tile, v in enumerate(PREDICTED, 8)],
        "one less": [9.0 if tile == 16 else v for tile, v in enumerate(PREDICTED, 8)],
        "unknown": [np.nan] * 17,
    }[wrong]
    assert not sweep.as_predicted(_rows(curve))
    assert "NOT as predicted" in sweep.summary(_rows(curve))


def test_one_score_as_predicted_is_not_enough():
    rows = [{**row, "false_splits": 9} for row in _rows(PREDICTED)]
    assert not sweep.as_predicted(rows)
    assert "false splits dips at no size" in sweep.summary(rows)


def test_a_sweep_without_a_multiple_shows_nothing():
    assert not sweep.as_predicted(_rows([9.0] * 5, start=9))


@pytest.mark.parametrize(("size", "middle"), [("small", 16), ("paper", 128)])
def test_the_sweep_goes_from_below_to_above_a_multiple_of_the_period(size, middle):
    (training,) = EXPERIMENTS[size][SWEEP].trainings.values()
    period = training.net().period[0]
    assert middle % period == 0
    assert set(EXPERIMENTS[size][SWEEP].tiles) >= set(range(middle - 8, middle + 9))
    assert training.window[0] > period


def test_nuclei_are_swept_in_the_papers_size_only(tmp_path, capsys):
    tifffile = pytest.importorskip("tifffile")
    for name in ("image", "labels"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.ones((40, 40), np.uint8))
    files = ["--image", str(tmp_path / "image.tif"), "--labels", str(tmp_path / "labels.tif")]
    options = ["--experiment", SWEEP, "--out", str(tmp_path / "run"), *files]
    assert command.main([*options, "--size", "paper"]) == 2
    assert "expected at least 332 px per axis" in capsys.readouterr().err
    assert command.main(options) == 2
    assert "--size paper" in capsys.readouterr().err


def _crossing(tile, origin):
    """Pairs of pixels of one object that seams of the small sweep's picture would cut."""
    experiment = EXPERIMENTS["small"][SWEEP]
    (training,) = experiment.trainings.values()
    _, labels = render(training.scene, experiment.area, jax.random.key(0), origin=origin)
    plan = SimpleNamespace(tile_stride=(tile,) * 2, origin=(0, 0), period=(PERIOD,) * 2)
    return metrics.seam_disagreement(labels, plan, true=labels).pairs_seam


def test_objects_cross_the_seams_of_every_tile_size():
    assert min(_crossing(tile, None) for tile in EXPERIMENTS["small"][SWEEP].tiles) > 0
    assert _crossing(2 * PITCH, 3) == 0  # a lattice that lies otherwise keeps clear of the seams


def _view(true, tile):
    plan: Any = SimpleNamespace(tile_stride=(tile,) * 2, origin=(0, 0), period=(PERIOD,) * 2)
    embedding = np.zeros((*true.shape, 2), np.float32)
    return Stitched(plan, embedding, embedding, true, true, False)


@pytest.mark.parametrize("tile", [8, 11, 14, 48])
def test_the_dashed_line_counts_the_fragments_between_seams(tile):
    labels = np.asarray(synthetic.disc_lattice((48, 48), pitch=PITCH, radius=RADIUS, origin=0)[1])
    expected = 0
    for label in range(1, labels.max() + 1):
        rows, columns = np.nonzero(labels[0] == label)
        _, sizes = np.unique([rows // tile, columns // tile], axis=1, return_counts=True)
        expected += int(np.sum(sizes >= 0.05 * len(rows))) - 1
    assert sweep_figure.cut_everywhere(_view(labels, tile)) == expected
    assert (expected > 0) == (tile < 48)


@pytest.mark.parametrize("curve", [PREDICTED, [np.nan] * 17, [9.0] * 17])
def test_the_figure_is_drawn_whatever_the_outcome(tmp_path, curve):
    true = np.asarray(synthetic.disc_lattice((48, 48), pitch=PITCH, radius=RADIUS, origin=0)[1])
    rows = [{**row, "false_splits": int(np.nan_to_num(row["false_splits"]))} for row in _rows(curve)]
    views = [_view(true, row["tile"]) for row in rows]
    sweep_figure.draw(Result({"stitchings": rows}, {"net": views}), tmp_path / "figure.png")
    assert [p.name for p in tmp_path.iterdir()] == ["figure.png"]
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def _ideal():
    """A network, without training, that gives each disc the phase of its centre."""
    net = UNet(1, features=5, factors=(PERIOD,), convs=1, crop=None)
    variables = phase_code(net, jax.ShapeDtypeStruct((1, 34, 34, 1), jnp.float32))
    disc = synthetic.disc_lattice((5, 5), pitch=PITCH, radius=RADIUS, origin=2)[0].reshape(5, 5, 1, 1)
    convolve = partial(lax.conv_general_dilated, window_strides=(1, 1), dimension_numbers=("NHWC", "HWIO", "NHWC"))
    inner = slice(net.geometry[0].offset - 2, 2 - net.geometry[0].offset)

    def fn(image):
        codes: Any = net.apply(variables, image)
        centres = jax.nn.relu(convolve(image, disc, padding="VALID") - (disc.sum() - 1))[:, inner, inner]
        return 10 * convolve(centres * (1 + codes), disc, padding="VALID")

    return fn


def test_an_ideal_network_dips_at_the_multiples_of_the_period():
    image, labels = synthetic.disc_lattice((62, 62), pitch=PITCH, radius=RADIUS, origin=0)
    picture = Picture(image, labels, (slice(7, 55),) * 2)
    task = scene_task(EXPERIMENTS["small"][SWEEP].trainings[SWEEP])
    fn, rows = _ideal(), []
    plan = partial(plan_tiles, fn, picture.image.shape)
    whole = whole_picture(fn, task, picture, plan(tile=PERIOD))
    for tile in (7, 8, 9):
        view = stitch(
            partial(predict_tiled, fn),
            task,
            picture,
            plan(tile=tile, illegal_tile=True),
            bandwidth=1.0,
            key=key_of(0, 3),
        )
        rows.append({"name": "ideal", **score(view, whole, train_window=20)})
    assert sweep.multiples(rows) == [8]
    assert sweep.as_predicted(rows)
    assert not sweep.as_predicted([{**row, "period": 7} for row in rows])
