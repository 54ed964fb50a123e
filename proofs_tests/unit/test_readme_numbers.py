"""The numbers of README.md and of its figures are those of the runs that are kept beside it.

`docs/results` and `benchmarks/results` hold what was measured. A table that says something else, a figure drawn from
other numbers, or a run of experiments that have changed since then fails here.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest

from proofs_tests.support.experiments import plain, settings
from shiftjax._experiments.settings import DEFAULT, SWEEP, find
from shiftjax._figure import stamp

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
RUNS = {"seams": DEFAULT, "tile_sizes": SWEEP}
LEGAL = {(True, True): "**yes**", (True, False): "window no", (False, True): "tile no", (False, False): "neither"}


def kept(name, folder="docs"):
    return json.loads((ROOT / folder / "results" / f"{name}.json").read_text())


def comment(path):
    """What a PNG file says of its numbers."""
    content = path.read_bytes()
    found = re.search(rb"tEXtComment\x00([0-9a-f]{64})", content)
    return found and {"Comment": found[1].decode()}


def table(head, page=README):
    """The cells of a table, by the beginning of its head."""
    rows = page.split(head)[1].split("\n\n")[0].splitlines()[2:]
    assert rows
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]


def seams_row(row):
    """A stitching as README.md shows it."""
    scores = [f"{row[name]:.2f}" for name in ("seam_disagreement", "grid_disagreement")]
    legal = LEGAL[row["legal_tile"], row["legal_window"]]
    shown = [row["name"], str(row["train_window"]), str(row["tile"]), legal, *scores, str(row["false_splits"])]
    return [*shown, f"{row['average_precision']:.2f}", str(row["distinct_embeddings"])]


def test_the_table_of_seams_is_that_of_the_run():
    metrics = kept("seams")
    assert table("| network | window") == [seams_row(row) for row in metrics["stitchings"]]
    (period,) = map(int, re.findall(r"period (\d+) px\)", README))
    assert {row["period"] for row in metrics["stitchings"]} == {period}


@pytest.mark.parametrize("name", ["seam_disagreement", "false_splits", "tile", "legal_window"])
def test_control_another_run_has_another_table(name):
    rows = copy.deepcopy(kept("seams")["stitchings"])
    rows[2][name] = not rows[2][name] if name == "legal_window" else rows[2][name] + 1
    assert table("| network | window") != [seams_row(row) for row in rows]


@pytest.mark.parametrize("name", RUNS)
def test_figures_show_the_numbers_of_the_run(name):
    metrics = kept(name)
    figure = ROOT / "docs" / "images" / f"{name}.png"
    assert comment(figure) == stamp([metrics["stitchings"], metrics["outcomes"]])
    assert comment(figure) != stamp([metrics["stitchings"][1:], metrics["outcomes"]])


@pytest.mark.parametrize("name", RUNS)
def test_the_run_is_of_the_experiment_as_it_is_now(name):
    experiment, config = find(RUNS[name], "small"), kept(name)["config"]
    now = {name: plain(training) for name, training in experiment.trainings.items()}
    then = {name: settings(training) for name, training in config["networks"].items()}
    assert then == now, f"run `python docs/draw_seams.py {name}` again"
    assert {row["tile"] for row in kept(name)["stitchings"]} == set(experiment.tiles)


def test_the_sweep_shows_what_its_caption_says():
    rows = kept("tile_sizes")["stitchings"]
    for row in rows:
        legal = row["tile"] % row["period"] == 0
        assert (row["false_splits"] == 0) == legal
        assert (abs(row["seam_disagreement"]) < 0.02) == legal


def test_nuclei_are_those_of_the_picture():
    numbers = kept("nuclei")
    assert comment(ROOT / "docs" / "images" / "nuclei.png") == stamp(numbers)
    caption = README.split("docs/images/nuclei.png")[1].split("\n\n")[1]
    assert f"{numbers['found']} are found, {numbers['true']} are there, AP50 {numbers['AP50']:.2f}" in " ".join(
        caption.split()
    )


def test_the_scores_of_your_images_are_those_of_the_benchmark():
    rows = {(row["images"], row["way"]): row for row in kept("your_images", "benchmarks")["rows"]}
    shown = table("| images | way | AP50 |")
    assert [cells[:2] for cells in shown] == [list(key) for key in rows]
    for images, way, score in shown:
        row = rows[images, way]
        spread = f" ± {row['spread']:.2f}" if len(row["scores"]) > 1 else ""
        assert score == f"{row['mean']:.2f}{spread}"
