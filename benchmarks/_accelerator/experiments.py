"""The paper's experiments in their own size, as many as the time that is left allows.

An experiment is begun if all of its steps fit, judged by the rate of an earlier one; else with as many steps as fit.
Checkpoints go to the folder of work.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from _accelerator.session import Session

NAMES = ("tile_consistent", "const_inp_learned", "tile_inconsistent_wrong_crop", "spheres_noise")
TOLD = [  # of a score: whether there are seams, or how many embeddings
    *("tile", "equals_whole", "seam_disagreement", "grid_disagreement", "differs_from_whole"),
    *("false_splits", "average_precision", "distinct_embeddings", "clusters", "capacity"),
]
AFTERWARDS = 25.0  # seconds for compiling, stitching and drawing
RATE = 150.0  # steps per second, until one is known


def measure(session: Session) -> None:
    """A row for each stitching, or each window that was examined."""
    from shiftjax._experiments.figure import draw
    from shiftjax._experiments.run import run
    from shiftjax._experiments.settings import find

    rate = RATE
    for name in NAMES[:2] if session.tiny else NAMES:
        experiment = find(name, "small" if session.tiny else "paper")
        (training,) = experiment.trainings.values()
        steps = 30 if session.tiny else min(training.steps, int(rate * (session.left - AFTERWARDS)))
        if steps < min(1000, training.steps) and not session.tiny:
            session.note(f"{name} not run: time for {max(0, steps)} of {training.steps} steps is left")
            continue
        if session.tiny:
            experiment = replace(experiment, tiles=experiment.tiles[:1], area=24)
        with session.attempt(name):
            start = time.monotonic()
            result = run(experiment, out=session.work / name, steps=steps)
            rate = result.metrics["steps_per_second"] or rate
            done: dict[str, Any] = {"steps": f"{steps} of {training.steps}", "steps/s": rate}
            for row in result.metrics["stitchings"] + result.metrics["outcomes"]:
                session.row(
                    experiment=name,
                    **done,
                    **{key: row[key] for key in TOLD if key in row},
                    seconds=time.monotonic() - start,
                )
            session.note(f"{name}: the paper saw: {experiment.expected}")
            draw(result, session.out / f"{name}.png")
