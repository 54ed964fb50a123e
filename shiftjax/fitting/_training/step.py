"""One step of training: augment, predict, compare, change."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import flax.linen as nn
import jax
import optax

from shiftjax._typing import Array
from shiftjax.fitting._data.augment import Augmentation, augment
from shiftjax.fitting._data.intensities import Intensities, compress
from shiftjax.fitting._network import Window
from shiftjax.fitting._training.loss import Shape, loss
from shiftjax.fitting._training.optimizer import mean_params, optimizer
from shiftjax.training import State

Step = Callable[[State, Array, Array], tuple[State, Array]]  # state, images, labels -> next state, loss


def make_step(
    net: nn.Module,
    rate: float,
    window: Window,
    intensities: Intensities,
    how: Augmentation | None,
    shape: Shape,
) -> Step:
    """The compiled step; what is random in it depends on the state's key and step alone.

    Args:
        net: the network.
        rate: the largest learning rate.
        window: of training.
        intensities: what is typical of the images, whose percentiles are scaled already.
        how: windows are changed, if they are.
        shape: of the objects.
    """
    options = (net, rate, window, intensities, how, shape)
    try:
        return _compiled(*options)
    except TypeError:  # a network that is not hashable, since lists are among its attributes
        return _compiled.__wrapped__(*options)


@lru_cache(maxsize=2)  # the same with another key, as for a mean over several, is not compiled again
def _compiled(
    net: nn.Module, rate: float, window: Window, intensities: Intensities, how: Augmentation | None, shape: Shape
) -> Step:
    adam = optimizer(rate)
    in_output = (slice(None), *(slice(start, stop) for start, stop in window.crop))
    under_output = (slice(None), *(slice(a, a + n) for a, n in zip(window.before, window.output, strict=True)))

    def step(state: State, images: Array, labels: Array) -> tuple[State, Array]:
        key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
        images = intensities.relative(images)
        if how is not None:
            images, labels = augment(key, images, labels, how)
        images = compress(images)
        statistics = {name: value for name, value in state.variables.items() if name != "params"}
        options: dict[str, Any] = {"train": True, "mutable": list(statistics)} if statistics else {}

        def objective(params: Any) -> tuple[Array, Any]:
            output: Any = net.apply({"params": params, **statistics}, images, **options)
            output, updated = output if statistics else (output, {})
            return loss(output[in_output], labels[under_output], shape), updated

        (value, updated), gradient = jax.value_and_grad(objective, has_aux=True)(state.variables["params"])
        change, after = adam.update(gradient, state.optimizer, state.variables["params"])
        params = optax.apply_updates(state.variables["params"], change)
        return State({"params": params, **updated}, after, state.step + 1, state.key), value

    return jax.jit(step, donate_argnums=0)


def predicting(state: State) -> dict[str, Any]:
    """The variables that predict: running means of the parameters, and the statistics of norms as they are."""
    return {**state.variables, "params": mean_params(state.optimizer)}
