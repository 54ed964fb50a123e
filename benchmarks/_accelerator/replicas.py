"""How many training steps per second do 1, 8 and 64 replicas of an experiment take, side by side?"""

from __future__ import annotations

import time
from functools import partial

import jax
import optax

from _accelerator.session import Session
from shiftjax._experiments.experiment import Training
from shiftjax._experiments.settings import find
from shiftjax._experiments.task import scene_task
from shiftjax.training import initial_state, make_step, train

EXPERIMENT = "tile_consistent"
COUNTS = (1, 8, 64)
STEPS = {"small": 300, "paper": 100}  # the first 25 compile and are not timed


def measure(session: Session) -> None:
    """A row for each size and number of replicas."""
    sizes = {"small": (1, 2)} if session.tiny else {"small": COUNTS, "paper": COUNTS}
    for size, counts in sizes.items():
        single = float("nan")
        for count in counts:
            session.need(5)
            with session.attempt(f"{count} replicas of the {size} one"):
                rate, first = _rate(
                    find(EXPERIMENT, size).trainings[EXPERIMENT], count, 50 if session.tiny else STEPS[size]
                )
                single = rate if count == 1 else single
                session.row(
                    experiment=f"{EXPERIMENT}, {size}",
                    replicas=count,
                    **{
                        "steps/s": rate,
                        "replica steps/s": count * rate,
                        "times those of one": count * rate / single,
                        "begun in s": first,
                    },
                )


def _rate(training: Training, replicas: int, steps: int) -> tuple[float, float]:
    """Steps per second, and the seconds of all else: compilation and the first steps."""
    net, task, optimizer = training.net(), scene_task(training), optax.adam(training.learning_rate)
    start = time.perf_counter()
    image, _ = jax.eval_shape(task.sample, jax.random.key(0))
    fresh = jax.jit(jax.vmap(partial(initial_state, net=net, optimizer=optimizer, image=image)))
    states = fresh(jax.random.split(jax.random.key(0), replicas))
    _, history = train(make_step(net, optimizer, task.sample, task.loss), states, steps)
    rate = history.steps_per_second
    return rate, time.perf_counter() - start - (steps - 25) / rate
