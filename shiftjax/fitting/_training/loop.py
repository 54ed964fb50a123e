"""The loop of training: steps, validations, checkpoints, and an end."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import numpy as np

from shiftjax._ahead import read_ahead
from shiftjax._arithmetic import ceil_div
from shiftjax._interrupts import interrupts
from shiftjax._patience import patience, silence
from shiftjax.fitting._data.sampling import Sampler
from shiftjax.fitting._settings import Settings
from shiftjax.fitting._training.optimizer import with_total
from shiftjax.fitting._training.progress import Progress
from shiftjax.fitting._training.record import Entry, Record
from shiftjax.fitting._training.step import Step, predicting
from shiftjax.fitting._training.validation import Validation, fn_of
from shiftjax.training import State, TrainingDivergedError

CHUNK = 10  # steps between looks at the loss, each of which waits for the device
TIMED = 40  # steps after which it is known how long one takes
TRAINING = 0.85  # share of the minutes that compilation and steps take; the rest is for validation and tuning
LEAST, MOST = 200, 6000  # steps
VALIDATIONS = 12  # in a run
SPARSE = 25  # steps between two validations, at least
PATIENCE = 8  # validations in a row that are worse than the best by more than chance, after which a run ends
AHEAD = 4  # batches that are read ahead


@dataclass
class Loop:
    """What a run repeats.

    Attributes:
        step: of training.
        sampler: draws the windows of a step.
        validation: images held out; None for none.
        settings: of which validations choose the threshold.
        net: the network.
        keep: called with weights that are the best so far, their settings and their score.
        progress: where to say what happens.
        record: of the run.
        minutes: what the whole run may take, where the record has no number of steps.
    """

    step: Step
    sampler: Sampler
    validation: Validation | None
    settings: Settings
    net: nn.Module
    keep: Callable[[Any, Settings, float], None]
    progress: Progress
    record: Record
    minutes: float
    _losses: list[Any] = field(default_factory=list)
    _unseen: int = 0

    def run(self, state: State) -> tuple[State, bool]:
        """Trains to the end, or to Ctrl-C.

        Returns:
            The last state, and whether the run came to its end.

        Raises:
            TrainingDivergedError: the loss is no longer finite.
        """
        record, first = self.record, int(state.step)
        if record.total is not None:
            state = state._replace(optimizer=with_total(state.optimizer, record.total))
        begun = timed = time.perf_counter()
        self._validate(state, first)  # in case the run was stopped between a checkpoint and its validation
        with interrupts() as interrupted, self.progress.steps(first, record.total) as bar:
            for number, batch in read_ahead(self.sampler, itertools.count(first), ahead=AHEAD):
                if number == record.total or self._is_stale():
                    break
                if interrupted():
                    record.save(number, state)
                    return state, False
                state, loss = self._stepped(state, batch, is_first=number == first)
                done = number + 1
                self._losses.append(loss)
                self._unseen += 1
                if done % CHUNK == 0 or self._due(done):  # a validation keeps no weights that have diverged
                    self._look(done, bar)
                if done == CHUNK:
                    timed = time.perf_counter()
                if record.total is None and done >= TIMED:
                    each = (time.perf_counter() - timed) / (done - CHUNK)
                    state = self._begin(state, done, each, time.perf_counter() - begun)
                if self._due(done):
                    record.save(done, state)
                    self._validate(state, done)
        return state, True

    def _is_stale(self) -> bool:
        """Whether what is held out has been found worse and worse for long."""
        if self.validation is None:
            return False
        return self.record.stale(self.validation.chance(self.record.top)) >= PATIENCE

    def _stepped(self, state: State, batch: Any, *, is_first: bool) -> tuple[State, Any]:
        """One step; the first one of a process compiles, which may take a while."""
        with patience("compiling the training step", self.progress.say) if is_first else nullcontext():
            return self.step(state, *batch)

    def _look(self, done: int, bar: Progress) -> None:
        """Looks at the losses that have not been looked at.

        Raises:
            TrainingDivergedError: it is not finite.
        """
        count, self._unseen = self._unseen, 0
        losses = np.array([float(loss) for loss in self._losses[-count:]])
        if not np.isfinite(losses).all():
            raise TrainingDivergedError(
                f"the loss of step {done - count + int(np.argmin(np.isfinite(losses))) + 1} is not finite; "
                "lower the learning rate by `rate=`"
            )
        bar.update(count, float(losses.mean()))

    def _begin(self, state: State, done: int, each: float, spent: float) -> State:
        """Chooses how many steps there will be, from the time that one takes."""
        left = 60 * self.minutes * TRAINING - spent
        total = done + max(LEAST, min(MOST, int(left / each)))
        self.record.begin(total)
        self.progress.expect(total)
        return state._replace(optimizer=with_total(state.optimizer, total))

    def _due(self, done: int) -> bool:
        """Whether it is time for a checkpoint and a validation."""
        total = self.record.total
        if total is None or done == 0:
            return False
        return done == total or done % max(SPARSE, ceil_div(total, VALIDATIONS)) == 0

    def _validate(self, state: State, done: int) -> None:
        """Scores the running means of the weights, unless that has been done."""
        if self.validation is None or not self._due(done) or any(e.step == done for e in self.record.history):
            return
        loss = float(np.mean([float(loss) for loss in self._losses])) if self._losses else math.nan
        variables = predicting(state)
        with patience("scoring what is held out", self.progress.say), silence():
            outputs = self.validation.outputs(fn_of(self.net, variables))
            settings, score = self.validation.quick(outputs, self.settings)
        best = max(score, self.record.top)
        self.progress.say(f"step {done}: loss {loss:.3g}, AP50 of what is held out {score:.3f}, best {best:.3f}")
        self.record.enter(Entry(done, loss, score), variables, lambda best: self.keep(best, settings, score))
        self._losses = []
