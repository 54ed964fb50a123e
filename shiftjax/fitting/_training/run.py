"""A run of training, from what is to be done to the model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from shiftjax._interrupts import interrupts
from shiftjax._patience import patience, silence
from shiftjax.fitting._data.augment import Augmentation
from shiftjax.fitting._data.intensities import Intensities
from shiftjax.fitting._data.sampling import Sampler
from shiftjax.fitting._figure import draw
from shiftjax.fitting._load import load_model
from shiftjax.fitting._model import Model
from shiftjax.fitting._network import Window
from shiftjax.fitting._settings import Settings
from shiftjax.fitting._training.loop import Loop
from shiftjax.fitting._training.loss import Shape
from shiftjax.fitting._training.optimizer import optimizer
from shiftjax.fitting._training.progress import Progress
from shiftjax.fitting._training.record import Record
from shiftjax.fitting._training.step import make_step, predicting
from shiftjax.fitting._training.validation import SMALL, Validation, fn_of
from shiftjax.training import State, initial_state

THRESHOLD = 0.5  # until it is tuned
PICTURE = "validation.png"


class Plan(NamedTuple):
    """What is to be done; the options are those of `fit`.

    Attributes:
        window: of training.
        intensities: what is typical of the images.
        shape: of the objects.
        spacing: of the control points of elastic changes, in pixels per axis.
        small: pixels of a small object.
        config: what decides the run, to tell runs apart.
    """

    net: nn.Module
    window: Window
    channels: int
    intensities: Intensities
    shape: Shape
    spacing: tuple[int, ...]
    small: float
    steps: int | None
    minutes: float
    augment: bool
    batch: int
    rate: float
    key: Any
    start: Model | None
    config: dict[str, Any]


def run(
    plan: Plan,
    sampler: Sampler,
    validation: Validation | None,
    *,
    out: Any,
    resume: bool,
    progress: bool,
) -> Model:
    """Trains, and returns the best model."""
    say = Progress(progress)
    settings = Settings(THRESHOLD, None, max(1, round(SMALL[1] * plan.small)))
    record = Record(out, plan.config, resume=resume)
    if record.finished and record.folder is not None and record.has_model:
        record.close()
        say.say(f"{record.folder} holds the finished run")
        return load_model(record.folder, net=plan.net)

    def model(variables: Any, settings: Settings, score: float) -> Model:
        return Model(plan.net, variables, plan.channels, plan.window.input, settings, plan.intensities, score)

    def keep(variables: Any, settings: Settings, score: float) -> None:
        for folder in record.best_folders:
            model(variables, settings, score).save(folder)

    try:
        state = record.restored(_initial(plan))
        if record.history and record.best_folders:
            record.best = load_model(record.best_folders[0], net=plan.net).variables
        if record.total is None and plan.steps is not None:
            record.begin(plan.steps)
        how = Augmentation(spacing=plan.spacing) if plan.augment else None
        step = make_step(plan.net, plan.rate, plan.window, plan.intensities, how, plan.shape)
        loop = Loop(step, sampler, validation, settings, plan.net, keep, say, record, plan.minutes)
        state, ended = loop.run(state)
        if not ended:
            goes_on = "" if out is None else "; the same call goes on"
            say.say(f"stopped after {int(state.step)} steps: what has been learnt is kept{goes_on}")
        with interrupts():  # Ctrl-C while this lasts would lose all that was learnt
            best = _best(plan, record, validation, settings, state, model, say)
        if record.folder is not None:
            best.save(record.folder)
            if validation is not None:
                _draw(record.folder / PICTURE, validation, best, say)
            if ended:
                record.finish()
        return best
    finally:
        record.close()


def _best(
    plan: Plan,
    record: Record,
    validation: Validation | None,
    settings: Settings,
    state: State,
    model: Any,
    say: Progress,
) -> Model:
    """The model of the best weights, with settings tuned to what is held out."""
    if validation is None:
        return model(predicting(state), settings, math.nan)
    # The last weights, whose learning rate was lowest, unless earlier ones are better by more than luck.
    last, best = predicting(state), record.best
    score, found = _tuned(plan, validation, settings, last, model, say)
    if best is not None and validation.better(record.top, score):
        other, earlier = _tuned(plan, validation, settings, best, model, say)
        if validation.better(other, score):
            return earlier
    return found


def _tuned(
    plan: Plan, validation: Validation, settings: Settings, variables: Any, model: Any, say: Progress
) -> tuple[float, Model]:
    """The model of these weights, with settings tuned to what is held out, and its score."""
    with patience("choosing threshold and bandwidth", say.say), silence():
        found, score = validation.tuned(validation.outputs(fn_of(plan.net, variables)), settings, plan.small)
    return score, model(variables, found, score)


def _draw(path: Path, validation: Validation, model: Model, say: Progress) -> None:
    """A picture of the first image that is held out."""
    try:
        with silence():
            output = validation.outputs(model.fn)[0]
        draw(path, validation.images[0], validation.labels[0], output, model.settings, model.score)
    except ImportError as error:
        say.say(f"no picture of the validation: {error}")


def _initial(plan: Plan) -> State:
    image = jax.ShapeDtypeStruct((plan.batch, *plan.window.input, plan.channels), jnp.float32)
    state = initial_state(plan.key, plan.net, optimizer(plan.rate), image)
    if plan.start is None:
        return state
    # Copies: a step gives the memory of its state away.
    variables = jax.tree.map(jnp.array, dict(plan.start.variables))
    return state._replace(variables=variables, optimizer=optimizer(plan.rate).init(variables["params"]))
