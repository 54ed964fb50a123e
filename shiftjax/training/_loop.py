"""The training loop: chunks of steps, a progress bar, checkpoints, and a clean way out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from shiftjax._checks import fail, function, integer, shown, told
from shiftjax._extras import require
from shiftjax._interrupts import interrupts
from shiftjax._typing import Array
from shiftjax.training._backend import check_stacked, chunked, unstack
from shiftjax.training._checkpoint import Checkpoints
from shiftjax.training._step import State

CHUNK = 25  # steps between checks of the loss and of Ctrl-C, each of which waits for the device


class TrainingDivergedError(ArithmeticError):
    """The loss is no longer finite."""


class History(NamedTuple):
    """What a call of `train` has run.

    Attributes:
        losses: of its steps, `(replica, step)`.
        steps_per_second: without the first chunk of steps, which includes compilation; NaN where there is no other.
    """

    losses: np.ndarray
    steps_per_second: float


def train(
    step: Callable[[State], tuple[State, Array]],
    states: State,
    steps: int,
    *,
    checkpoints: Checkpoints | None = None,
    every: int = 500,
    progress: str | None = None,
) -> tuple[State, History]:
    """Trains all replicas up to a number of steps.

    Args:
        step: from `make_step`.
        states: of all replicas, from `stack`, `(replica, *shape)` each; those already trained continue from their step.
        steps: how many each replica has taken in the end, those of earlier calls included.
        checkpoints: where to save every `every` steps, at the end, and on Ctrl-C; by default nothing is saved.
        every: steps between two checkpoints.
        progress: title of the progress bar; without it there is none.

    Returns:
        The stacked states `(replica, *shape)`, and the losses of this call.

    Raises:
        ValueError: a single state instead of stacked ones, or a number of steps out of range.
        TrainingDivergedError: a loss, or a state to be saved, is not finite; names step and last good checkpoint.
        KeyboardInterrupt: after Ctrl-C, once the state is saved.
    """
    integer("steps", steps, least=0)
    integer("every", every, least=1)
    function("step", step)
    check_stacked(states)
    if checkpoints is not None and not isinstance(checkpoints, Checkpoints):
        fail("checkpoints", "`Checkpoints` or None", shown(checkpoints))
    try:
        state, _ = jax.eval_shape(step, unstack(states)[0])
        jax.tree.map(lambda before, after: None, unstack(states)[0], state)
    except (Exception, SystemExit) as error:  # whatever the step raises
        raise ValueError(f"`step`: expected a function of a state, found one that raises {told(error)}.") from error
    if progress is not None and not isinstance(progress, str):
        fail("progress", "a title or None", shown(progress))
    taken = sorted({int(n) for n in np.asarray(states.step)})
    if len(taken) > 1:
        fail("states", "replicas that have taken the same number of steps", shown(taken), "train them one by one")
    run, done = chunked(step), taken[0]
    states = jax.tree.map(jnp.array, states)  # copies: an accelerator gives the memory of what it is given away
    losses: list[np.ndarray] = []
    seconds, timed = 0.0, 0
    with interrupts() as interrupted, _bar(progress, done, steps) as bar:
        while done < steps and not interrupted():
            count = min(CHUNK, steps - done, every - done % every)  # a chunk ends where a checkpoint is due
            start = time.perf_counter()
            states, chunk = run(states, count)
            losses.append(np.asarray(chunk))
            if len(losses) > 1:  # the first chunk compiles
                seconds, timed = seconds + time.perf_counter() - start, timed + count
            _check_finite(losses[-1], done, checkpoints)  # before a checkpoint replaces the last good one
            done += count
            bar(count, float(losses[-1][:, -1].mean()))
            if checkpoints is not None and (done % every == 0 or done == steps):
                _save(checkpoints, done, states)
        if interrupted():
            if checkpoints is not None:
                _save(checkpoints, done, states)
            raise KeyboardInterrupt(f"stopped after {done} steps" + (", saved" if checkpoints is not None else ""))
    empty = np.zeros((len(states.step), 0), np.float32)  # so that a run without steps has losses, too: none
    rate = timed / seconds if timed else float("nan")
    return states, History(np.concatenate([empty, *losses], axis=1), rate)


def _save(checkpoints: Checkpoints, done: int, states: State) -> None:
    """Saves finite states only: a finite loss may still have had a gradient that was not."""
    leaves = [leaf for leaf in jax.tree.leaves(states) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    if not all(bool(jnp.isfinite(leaf).all()) for leaf in leaves):
        _diverged(f"the state after step {done}", checkpoints)
    checkpoints.save(done, states)


def _check_finite(losses: np.ndarray, done: int, checkpoints: Checkpoints | None) -> None:
    not_finite = ~np.isfinite(losses).all(axis=0)
    if not_finite.any():
        _diverged(f"the loss of step {done + int(np.argmax(not_finite)) + 1}", checkpoints)


def _diverged(what: str, checkpoints: Checkpoints | None) -> NoReturn:
    last = None if checkpoints is None else checkpoints.latest
    saved = "no checkpoint was saved" if last is None else f"the last good checkpoint is of step {last}"
    raise TrainingDivergedError(
        f"{what} is not finite; {saved}; lower the learning rate, or check the labels against `max_instances`"
    )


@contextmanager
def _bar(title: str | None, done: int, steps: int) -> Iterator[Callable[[int, float], None]]:
    if title is None:
        yield lambda count, loss: None
        return
    with require("tqdm", "train").tqdm(total=steps, initial=done, desc=title, unit="step") as bar:

        def show(count: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.3g}", refresh=False)
            bar.update(count)

        yield show
