"""The command line of `scripts/train_synthetic.py`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from shiftjax._experiments import figure, labelled, nuclei, sweep, sweep_figure
from shiftjax._experiments.evaluate import verdict
from shiftjax._experiments.experiment import Training
from shiftjax._experiments.images import task_of
from shiftjax._experiments.run import open_folder, run, write_json
from shiftjax._experiments.settings import DEFAULT, EXPERIMENTS, IMAGES, SWEEP, find
from shiftjax._experiments.task import Task
from shiftjax._extras import require
from shiftjax.training import TrainingDivergedError

BAD_INPUT, INTERRUPTED = 2, 130
MOST = 2**31 - 1
LEGEND = """\
window   px of output that the network was trained on; legal: larger than the period
tile     px of output per tile; legal: a multiple of the period
excess   how much more the embedding jumps where tiles meet than that of the whole image does there; 0: no more
seam     how much likelier an object is cut where tiles meet than elsewhere; 0: no likelier, 1: always
grid     the same for any line that repeats with the tile; both are nan where all objects have one code
splits   true objects that are found in several pieces; merges: objects found that cover several true ones
codes    embeddings told apart among same-looking objects
vs whole difference from the output of the whole image, in standard deviations of that output
verdict  seams where seam or grid is 0.5 or more; none where both are near 0 and every object is found whole"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 0, 1 for a diverged run, 2 for bad input, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    if options.list:
        print(_listing(options.size))
        return 0
    return exit_code(lambda: _run(options), goes_on="continue with --resume")


def exit_code(run: Callable[[], int], *, goes_on: str) -> int:
    """What a run returns, or what its end by an error or by Ctrl-C, which `goes_on` says how to undo, is told by."""
    try:
        return run()
    except KeyboardInterrupt as interrupt:
        print(f"\n{interrupt or 'stopped'}; {goes_on}", file=sys.stderr)
        return INTERRUPTED
    except TrainingDivergedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (ValueError, TypeError, ImportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train_synthetic.py",
        description="Trains on synthetic images, stitches tiles, and shows where seams come from.",
    )
    parser.add_argument("--experiment", default=DEFAULT, help="see --list; default: %(default)s")
    parser.add_argument("--size", choices=sorted(EXPERIMENTS), default="small", help="default: %(default)s")
    parser.add_argument("--steps", type=count(0), help="training steps, instead of the experiment's own")
    parser.add_argument("--seed", type=count(0), default=0, help="of weights and images; default: %(default)s")
    parser.add_argument("--replicas", type=count(1), default=1, help="train this many seeds, from --seed on")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the computation")
    parser.add_argument("--out", type=Path, help="output folder; default: runs/EXPERIMENT-SIZE-seedS")
    parser.add_argument("--resume", action="store_true", help="continue the run in the output folder")
    parser.add_argument("--list", action="store_true", help="list the experiments and exit")
    parser.add_argument("--image", type=Path, help="experiments on nuclei: a 2-D TIFF image")
    parser.add_argument(
        "--labels", type=Path, help="experiments on nuclei: its instance labels, a TIFF of the same shape"
    )
    return parser


def count(least: int) -> Any:
    """The type of an option that is an integer from `least` on."""

    def integer(text: str) -> int:
        if not text.isdigit() or not least <= int(text) <= MOST:
            raise argparse.ArgumentTypeError(f"expected an integer from {least} to {MOST}, found {text!r}")
        return int(text)

    return integer


def _listing(size: str) -> str:
    width = max(map(len, EXPERIMENTS[size])) + 2
    return "\n".join(f"{name:{width}}{experiment.expected}" for name, experiment in EXPERIMENTS[size].items())


def _run(options: argparse.Namespace) -> int:
    experiment = find(options.experiment, options.size)
    task: Callable[[Training], Task] = task_of
    if any(training.scene.kind == "nuclei" for training in experiment.trainings.values()):
        task = partial(labelled.task, nuclei.halves(nuclei.load(options.image, options.labels)))
    elif options.image or options.labels:
        raise ValueError(
            f"--image and --labels: expected with --experiment {nuclei.NAME} or {IMAGES[0]}, or {SWEEP} --size paper"
        )
    # Whatever can fail does so before a folder is made: images that do not fit, a missing package.
    for training in experiment.trainings.values():
        task(training)
    require_training()
    out = options.out or Path("runs") / f"{experiment.name}-{options.size}-seed{options.seed}"
    open_folder(out, _config(options), resume=options.resume)
    done = out / "metrics.json"
    if done.exists():
        print(f"finished already: {done}\n\n{_table(json.loads(done.read_text()))}")
        return 0
    result = run(
        experiment,
        out=out,
        seed=options.seed,
        replicas=options.replicas,
        steps=options.steps,
        dtype=options.dtype,
        task=task,
    )
    draw = sweep_figure.draw if experiment.name == SWEEP else figure.draw
    draw(result, out / "figure.png")
    write_json(done, result.metrics)
    print(f"\nexpected: {experiment.expected}\n\n{_table(result.metrics)}\n")
    print(f"written: {done}, {out / 'figure.png'}")
    return 0


def require_training() -> None:
    """Asks for the packages that training and its figures need.

    Raises:
        ImportError: one is missing.
    """
    for module in ("orbax.checkpoint", "tqdm", "matplotlib"):
        require(module, "train")


def _config(options: argparse.Namespace) -> dict[str, Any]:
    names = ("experiment", "size", "steps", "seed", "replicas", "dtype")
    images = {name: str(getattr(options, name)) for name in ("image", "labels") if getattr(options, name)}
    return {**{name: getattr(options, name) for name in names}, **images}


def _table(metrics: dict[str, Any]) -> str:
    if not metrics["stitchings"]:
        return _columns([_outcome(outcome) for outcome in metrics["outcomes"]])
    text = f"{_columns([_stitching(row) for row in metrics['stitchings']])}\n\n{LEGEND}"
    return f"{text}\n\n{sweep.summary(metrics['stitchings'])}" if metrics["experiment"] == SWEEP else text


def _outcome(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "network": row["name"],
        "distinct embeddings": row["distinct_embeddings"],
        "clusters": row["clusters"],
        "bound": row["capacity"],
    }


def _stitching(row: dict[str, Any]) -> dict[str, Any]:
    legal = {(True, True): "yes", (True, False): "window no", (False, True): "tile no", (False, False): "neither"}
    return {
        "network": row["name"],
        "window": row["train_window"],
        "tile": row["tile"],
        "period": row["period"],
        "legal": legal[row["legal_tile"], row["legal_window"]],
        "excess": f"{row['seam_excess']:z.3f}",
        "seam": f"{row['seam_disagreement']:.3f}",
        "grid": f"{row['grid_disagreement']:.3f}",
        "splits": row["false_splits"],
        "merges": row["false_merges"],
        "AP50": f"{row['average_precision']:.3f}",
        "codes": row["distinct_embeddings"],
        "vs whole": f"{row['differs_from_whole']:.1e}",
        "verdict": verdict(row),
    }


def _columns(rows: list[dict[str, Any]]) -> str:
    """Rows with the same keys as aligned columns under them."""
    lines = [list(rows[0]), *[[str(cell) for cell in row.values()] for row in rows]]
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    text = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([text[0], "  ".join("-" * w for w in widths), *text[1:]])
